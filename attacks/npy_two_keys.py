"""The shape twice, for readers of which one takes the first."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "each once"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal()[:-2] + "'shape': (3, 2)}\n"))
    return path

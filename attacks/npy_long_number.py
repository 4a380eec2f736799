"""An extent of five thousand digits."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "cannot be read"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(shape=f"({'9' * 5000},)")))
    return path

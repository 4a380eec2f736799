"""A header of twenty thousand bytes that is there, which NumPy does not read either."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "at most"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal() + " " * 20_000))
    return path

"""Text elements of a billion letters."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "takes"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(descr="'<U999999999'")))
    return path

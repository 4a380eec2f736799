"""A call where the element type should stand."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "cannot be read"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(descr="open('EVIDENCE', 'w')")))
    return path

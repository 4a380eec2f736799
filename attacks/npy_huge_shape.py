"""A shape of 2**60 numbers over 24 bytes."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "takes"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(shape="(1073741824, 1073741824)")))
    return path

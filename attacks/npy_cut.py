"""A file that ends inside of its numbers."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "follow"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(numbers=bytes(20)))
    return path

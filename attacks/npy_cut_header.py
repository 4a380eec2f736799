"""A header that is longer than the file."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "the file has"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(length=9000, numbers=b""))
    return path

"""A header of four gigabytes, by its length."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "at most"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(version=2, length=0xFFFFFFF0))
    return path

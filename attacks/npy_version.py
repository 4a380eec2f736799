"""A version that does not exist."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "version"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(version=9))
    return path

"""A shape of two thousand axes of 1."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "axes"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(shape=f"({'1,' * 2000})")))
    return path

"""Bytes behind the last number, where something could hide."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "follow"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(numbers=bytes(25)))
    return path

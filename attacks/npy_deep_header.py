"""A header of five thousand open brackets, for parsers that recurse."""

from pathlib import Path

from ._npy import npy

VERDICT = "refused"
CLAIM = "ends early"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy("{'descr': " + "[" * 5000))
    return path

"""Eight bytes: the signature."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "HDF5"
BYTES = "c-rgqaB<`1lHvjY3C;nR"


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""The first half of a file."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "HDF5"
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfT3Au}F!=;1%?PDCp!5nRm^dR?P68?}2sIyFT}Y6tD@gT!Gyt>5h6O@%FpPqc2s~UJ13+{Hln+a#Czt?h$tdm"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

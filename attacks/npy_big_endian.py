"""Big-endian numbers in Fortran order, which are read right."""

import struct
from pathlib import Path

from ._npy import literal, npy

VERDICT = "read"
READS = ("model", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(descr="'>f4'", fortran="True"), struct.pack(">6f", 0, 3, 1, 4, 2, 5)))
    return path

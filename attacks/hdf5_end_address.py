"""Its end is said to lie 1 TB on."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "HDF5"
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfz#K+2J`f~8X+|jB0i{<k!NeKCauQH+L8$rY>Oz8CT|uh<qXC#bHY^aDgJBemMBw4-7yzOp"
    "pnO;=J;8*kE<Ha#1vx!>P-rhB11rQVMi?KGk{KBx0?bf#2wDQHR8T>l0g_}D7{oak#OtB*tiTiul4oLKVuYk;h<VJ62GA7FgXV&c"
    "K^7AY_CUe`h#Z3b{9Qn~8<r;(m`BqoIRF51?=Pq"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

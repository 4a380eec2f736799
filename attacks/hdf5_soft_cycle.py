"""Soft links in a circle."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfT3Au}F!=;1%?PDCp!5nRm^dR?P68?}2sIyFT}Y6tD@gT!Gyt>5h6O@%FpPqc2s~UJ13+{H"
    "l<xqgPcWgXOV7_w0nv$2zJ3yfPJ;2F63H-rvVJmh`jtSlmyv-LBF6~hLsT#_LIjwh>JYR9SgD|bJOd=jDlmw1Fo@Sf<ynC#7$ncc"
    "#KZ_m&k*yN84aK*oCnPX9fK?;8tfs#@8A&Z=kLOZRARvLEEA5fRKTH515KR)4s{l2>R@Go0`t&L+W`H0Ok@"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

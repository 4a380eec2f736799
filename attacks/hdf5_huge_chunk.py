"""Chunks of 2 GB each."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfrm&&%Ve$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu94GV<kU>F4>5qP*d27u@Y"
    "C?A%dPB5XWOV7_w0ntf`DJbdEflPZD8CW4^Fv9o{n;97)0?bf#2wDQHR8T>l0g_}D7{oak#OtB*tiTiul4oLKVuYk;h<VJ62GA7F"
    "gXV&cK^7AY_K@Ioa0vGEcVT2;f|nRAtoU`p@~#5&XnMw<#xx)_6I7r97H|w$`G_=U4-I1n1`}=ulmE<UX^t5!%`q{<i`fQ<anLBL"
    "7|`$l0NuGi76"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""A chunk whose checksum is another."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "bad"
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfUhtvvVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu94GV<kU>F4>5qP*d27u@Y"
    "C?A%dPB5XWOV7_w0ntf`DJbdEflPZD8CW4^Fv9o{n;97)0?bf#2wDQHR8T>l0g_}D7{oak#OtB*tiTiul4oLKVuYk;h<VJ62GA7F"
    "gXV&cK^7AY_K@Ioa0vGEcVT2;f|nRAtoU`p@~#5&XnICXV{CZS7zbMT5uL`EA!&>oD9;Es52hayV`(|5CCM47MaD)j^Py>xiD?QO"
    "!b%o|OB3i49-z8_5lda5f<yfgKJ4j?Wi)Axf>AIEM!_f;1;e}%g=m)o+o(Xi0EiC&@dJlLjjlZam!49F"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

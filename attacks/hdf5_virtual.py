"""A virtual dataset over another file."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfrih{PVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu94GV<kU>F4>5qP*d27u@Y"
    "C?A%dPB5XWOV7_w0ntf`DJbdEflPZD8CW4^Fv9o{n;97)0?bf#2wDQHR8T>l0g_}D7{oak#OtB*tiTiul4oLKVuYk;h<VJ62GA7F"
    "gXV&cK^7AY_K@Ioa0vGEcVT2;f|nRAtoU`p@~#5&XnICXV{CZS7&KwPX`<5@Gc1ikVu*!#3LA21Ed-4b5HE89Q#LSe2Ss?eJNx^9"
    "T_}KBxA-!kRW|ymCCU2vB^jwjdKsn+72r(Bh-45G5?=tyW<<)cQY<?(kd#m0A5Dv+U=)mkQ7{Td!6+C7qhJ(_f>AIEMghG50D3?^"
    "q5"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

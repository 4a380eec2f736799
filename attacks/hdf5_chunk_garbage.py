"""A chunk that is not deflated, and says it is."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "bad"
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfj_{-MVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu94GV<kU>F4>5qP*d27u@Y"
    "C?A%dPB5XWOV7_w0ntf`DJbdEflPZD8CW4^Fv9o{n;97)0?bf#2wDQHR8T>l0g_}D7{oak#OtB*tiTiul4oLKVuYk;h<VJ62GA7F"
    "gXV&cK^7AY_K@Ioa0vGEcVT2;f|nRAtoU`p@~#5&XnICXV{CZS7&IZlX`<5@GbD|11LYaP=E2P80GG-sscAWhC8==Z;c1bHX$l*{"
    "N*07m6X+5ipt^t&TV242UHuV0GyxXWU>gOaU=)mkQ7{Td!EkIqF)_2Svaxe;a&hzU^6?7@3JHsdiit}|N=eJe%E>DzDk-a|s;O&e"
    "YH91}>ggL88X23InweWzT3OrJ+SxleIyt+zy19FJdU^Z!`uPV01_g(NhJ{B&Mn%WO#>FQjCM5&gO6eJyS=l+cdHDr}Ma3nhW#tu>"
    "Rn;}Mb@dI6P0cN>ZS5VMUEMvsef<+APMSPr>a^)IX3m;DXYRcD3l=U~ykzOJ<ttXMTD@lNy7e12ZrZ$M>$dGXcJA7}XYaoK2M!)O"
    "eB|h{<0np@I(_Esx$_q;Ub=kc>b2`PZr-|m=kC4x4<0^x{N(Ag=PzEqdj00@yZ0YHe)|07>$mSee*XIX=kLG&00E)Ndj"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""A list of 2 to the 52 names, as an attribute."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good.good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rmUK}!Nb6u|MB)x|{=6a%G89y@l7E^Uyt7+F*Y4?ziv2AWVobgH9$la76iK1Ls*V>jE~nL%gC0wWOo|2#ZrXPA|l$Mg1{gWbJ+"
    "b~P&^o+r|xAf}DA^M*Y(^OrhG9Y;F8IOcgOo~!8R1-<_$qsBd7#j}%IEm}QJFz<PHRrCawQBd1Cj$%`fO+LLj_PW8a-RWQ4cdoj<"
    "yW6R}^yhr<to&Wi*!llk{=U}9U-Ea7zoyELTzg%2IBZYX)8LQqJ#8HA%5XQ6ch!_#uLC{qx!loDiu%Tq=atiyMTXzJuuAk>51pHf"
    ">(-!i8$U0F2c3@QrL@jnChptppZx#KiNIIu^YQ+wvQ1u4688Rfb``id00000000000000000000000000000Mkc>Z*ekP{xKt(s2"
    "*wlSWe(Ptla;PHxOqSEEekRSjy)No+v9<Ak{Y*agO<s#{^BA-0fUC|-nz5<~rjLkjb21ex@zP>-E$%lWL{*eMQGV3(Zg?ZnyyG}h"
    ")djU*N_x6d<PyJNv|uOlv@PN`QNEwdvCjkYWgcJPgm{A"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

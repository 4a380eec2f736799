"""Groups that hold themselves and those above them."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvf<_MzlVe$!3nh{EOK<O1sFmXl(5K{swE(kRrU0q0!t1C$Le>4EI$A$$$b1;m8kqA6o9Romg"
    "1e6a;PbZjA)urd>r-0~0v~=k}roD^|tPnF8VSI?qjEoQgW~e#@Edf?4s36Y(NwNwI;v5X(^-y_MU<wAwGchqSLeewDJZ44%XbR^+"
    "b3w--i-`t%NN_qh1pE2BfO0pi#Asnf4f8cn{uy@EysN-Gnx0Y97$Z3SpqG*8;YX;9WZ{O;0;54XT1FzJr#I}V>XM*zacWK)b;?La"
    "uo>v-HwT*Gd$@>8zdZb-b^K`hMWkO?IktuiRb4V#-R?o5y|8)=mhN0QP|ZhA$HdlmBe5RCRt}Uvn>17Sh${y|1V+n&(Q*K@9^1l)"
    "s;;yELYL$hP^GO8DF+zg>CT4-HGiY0<57UWJQW~vjDTabJjDtC0?ULb"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

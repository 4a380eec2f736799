"""Something else before the file, as a user block."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "no format"
BYTES = (
    "c-m7|)KALH(=X28D#<TR&QNd-^K^0bb9Uuo7zHB%bb7eB@p4H)qML(*frUW;MgBh&w6LP`Ve$!3nh{EOK<O1sFmXn(oCH){5NbZU"
    "x{x4OSCH!eXaHu94GV<k7>%+K2|QdK13+{Hln+a#Czw#xrRV3TAg4zU3hiZNV1<~)2;)OiG9x2IfElU|K}&#@3M$AmK$5HigE$9+"
    "cs*2}6_|oS@=Q!jjF9vUF^`$i0Gh&i&|J_l$YP?w9!NL<kwdVbzY8dL!}6p8^JqFH2LJ%@+c$s"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""Its base address is 2 to the 62."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "HDF5"
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZB;fEL3R+kp0x&*IK?0O!gwh>QdIb|qoDnQ10Tma7nvbq7B*@hjr20P^fZ1ci0--q=M!`q~9<Gi7"
    "AUXodho#aJOsMM8^Yc@X)1wE4_A)ZCLd;@>@gXUhkr5)m3{{7qCBRAr733KpNmhYDoP$BU9xBfYOu-;|CMG6ENP32t$INH|P2oIf"
    "F6bC!G0|WTDi?srA=uB~1(dsCc~XISG@X(I0HsSXZ~"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

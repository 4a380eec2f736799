"""Records of several types."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfB-l~;F!=;1%?PDCp!5nRm^dR?P68?}2sIyFT}Y6tD@gT!Gyt>5h6O@%FpPqc2s~UJ13+{H"
    "ln+Z!Czw#xrRV3Tfas*e6qI!7K&HKn46G0{7-4*f&5Vo?0cNN=1T6tpDySgO07<e64B{LN;`LB@R$vMS$uluAF+$Qa#5`t318558"
    "L32UJAd86xdq{9PI0XCoyD%~^!Ap!5R{T0)c~^mXG(A(6#tOhn)qnyzKspi0ENtm62`UE?7iNUSLox#*wP}G>1JfiDhB-%o0~T)%"
    "c+&0^HfRb!^O?brjS~P+Q#UO"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""A link to a dataset in another file of the machine."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfzObV5Ve$!3nh{EOK<O1sFmYC}oCH){0BU{<)Vu<ycu0_|D@gT!Gyt>5h6O@%FpPqc2s~UJ"
    "13+{HJRL#62_{r^>G}C7$m!98LVIE97iJ(MG$k`KLIjwh>JYR9SgD|bJOd=jDlmw1Fo@Sf<ynC#7$ncc#KZ_m&k*yN84aK*oCnPX"
    "9fK?;8tj3D0}wd``}w;t0(}F^lM2kE>69G61TP)2mwsH(Gy?-{(A3Y!zyeC{@L*>HrZuoQhXZp`Vu}z0gMMmBvVKN>aY<fcZYqO*"
    "1w<VHouWy("
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

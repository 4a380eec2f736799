"""A model_config of 30,000 lists in lists."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "model_config"
BYTES = (
    "c-rmM&1w@-6ae5mlLSIZAw{9ljitEk!lj5{i;YGJHl$q?T(rf;w9qzS1rZmza8cjH2XW!UxbX?<{M@lk1VK;``kf@-;r`6ro12sQ"
    ")LVZvKX-F3<k4(~dT58saUSFLW;)fb#&=^*Vm^!cb6WM+im^`YZ^!$8Y?SST*uORGcJtZiGf}N`zg}H0u444MYlA#*$M#apU(@M%"
    "<H=+{&&QMf(b3ME(c$>u_35Shy!(giCZSPYn^f(xl9QzDsKt2~xl>GCSh^MJai@#Tu=qZXH$t-*Pt&xxK{MX3mfVRI-kRCL*?;y+"
    "e0Y$tn!Q&ypKYusA<e!+{7q`Vzq0!8)(7d-Gh-#T`@{4~*7ia?nb~J&EA-+y&4=sRDVH_<Vsi5GaGdww$ZD`1&$T?u=G3`<f0Bl8"
    "jf>~=<A)pl;#vGO{bgPr@0RzL?>z?q0000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "{BuGXNvLI?5IV8l&R%(Z8Ky<vjs080Za2^8GZBQyqSsv;<as-`n=v27ItoAQt&G86T6ZDV>&l>9rytjAh1IxTE89ya9PPawz1lh1"
    "J06`D{nxUM)bsHqnc7#C$CJr^o__$#{U!$"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

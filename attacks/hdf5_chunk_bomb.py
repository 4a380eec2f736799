"""A chunk of 4 kB that inflates to 400 MB."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "bad"
BYTES = (
    "c-rmUzi*6j0LSs?xw|%(qSZkv3_AD&j2$#8QEH)~5*wA4g>;dyX@Z2!;9ro~Om-53!S2W84-kWhNgQ|2bFFKn5rc4_*K7Ia`O)XO"
    "eEaR)<=VdQFC06*Yi!?G(baAjtzviavrg^giP3@W{_%_TSk~jcdVJjI?=O4D_SX9+>+5elZ|ThZeE00m7XAAiZdGHuAko77(Z%j~"
    "zTWPyr<aYv^RBF|t#rpr%PRxxa_$fBTNWeLHOl^Wb?36Ib~NkrHpjiaQzxen6xEWQE~eVW)UEpX$d47=J>F<E%4$7V*K3xC>J`3o"
    "%Okk=k9{ZBk5tn+H+S~b>0@Ql*m%acGqU|x_J4M#o7VH-8XMhqjnxZjWBlzk)~wdpjvvR%-u3#|Z}*;+S5_}yUB14$aruq4*l0W)"
    "-MnRM^O0WsEA!EPEhvBST5xw}^q1$q7~is^H8^bm!0@^G?!)umdz<wK-=2JIkC_nw000<v>u+y2d%x(I?z}#}cn$yn02p@56XU(V"
    "0$l%kVgFIn0RR91L+|eFO!c3tpKe`inGOH|02q3EzPz97eHQSt^K^2_d;kCdz|eam7ytkO08s=30000Wi(mi%003kW3;+NCfG~mq"
    "0001xMKAyW006QG1^@s6Ko-FO00008BNzYx003D80{{R3Ad6rC0001F5extT0Dv%p0RR91kVP;6000282nGNE06-SO000002qPE("
    "000141Oos703eHC00000WDyJi004k6f&l;k0FXs600000vIqtM002N1!2kdN00<)(00000Sp)+B001D1U;qFB0Avvi0001hFoFR9"
    "0059hFaQ7m0I~=M0000$7Qp}j000Oh7ytkO09gbB0000Wi(mi%003kW3;+NCfG~mq0001xMKAyW006QG1^@s6Ko-FO00008BNzYx"
    "003D80{{R3Ad6rC0001F5extT0Dv%p0RR91kVP;6000282nGNE06-SO000002qPE(000141Oos703eHC00000WDyJi004k6f&l;k"
    "0FXs600000vIqtM002N1!2kdN00<)(00000Sp)+B001D1U;qFB0Avvi0001hFoFR90059hFaQ7m0I~=M0000$7Qp}j000Oh7ytkO"
    "09gbB0000Wi(mi%003kW3;+NCfG~mq0001xMKAyW006QG1^@s6Ko-FO00008BNzYx003D80{{R3Ad6rC0001F5extT0Dv%p0RR91"
    "kVP;6000282nGNE06-SO000002qPE(000141Oos703eHC00000WDyJi004k6f&l;k0FXs600000vIqtM002N1!2kdN00<)(00000"
    "Sp)+B001D1U;qFB0Avvi0001hFoFR90059hFaQ7m0J1!qojKV3EMWKN&eH?03gAETY|o8}qWliX##>A"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

"""Texts of any length on the heap, as a dataset."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rmO%Tk+l9LM4JO$Y=C5YA@^hn`RLe4+)X#dgsVM_ss7hZ&b0ckXoIqVBy2FU1S!MY!}1Drw#z{1%S7>iBz}nf9G;5|TjvAKIT^"
    "KL2=ZWND=6YBr03qFtQ!uJX23JG1-ue^p(}>iVX-{#xtbUcSF?p}Kvtdj9yhFFrds=sx;g(0`rXf!?)QkkQM7k3Q{QzpQruJpEQX"
    "`?zmkzdq_-zxn#;%(>kEkFQ%6jox#V{oQ-zvh3YZuO9c;b>aO(Cp+s!@5pwF`DQWyLv?@S_yl+FuhnX0?>zUOuU_s{C%hHj!J7~4"
    "llXD3_v75(|NN7~=Vehl`Hk^Y<L|$+-)^VwJpY?Bc2qs?D4emy<NLcm`}WC~Hp3Y!!WsKzu&QD3Lq21_AD@r6t=@OE9rjk(8)0vT"
    "y%zR**qyK!!d?t}DeUF2SHfNmyA}3W*yCYOgxwB%GVH0ar^B8Jdp7L3u;)*9@3Xlb_MNcrhJ7#W`(Zx_`(fCR!hRg~ZrD%4ej4^("
    "*!$u8EyJ#bT@QO8>_*swVGo7f40|~2k+4U@`!B<;g<TJOAnZoigJBPa-3)s;?2)kJ`)!3i7WR196JfW*o(y{`?CG#)!k!I#F6?;z"
    "7s6f)dnxSYuvfxf4SOx@^{_i(Z-l)W_Ey;2VV?{8eApMlz8LnUurG&wCG4wVUkm$s*f+x73HxT)w~qh3cy{=zJoUf7^3=a8UEc%$"
    "do|rdI(6McIs>|gbQ-#cbOv<~=?v)}(rM}*(izr0q%)#>NM}^{kWNeYkj|LyA)RsELpl?>hjiMyhjb=&59v(l9@3fCJ)|?Edq`(i"
    "_mIw<?jfCd-9tJHx`%WYbr0z*=^oNq);*-NqI*bZRriq2n(iT;b=^Zc9o<7Z8@h*dHgyl_Z0R1-+15Rzb58e=&UxKKIu~>g>0H!3"
    "q;pC4kj`b@LpoP<59wUhJ*0C@_mIwY-9tJzbPwt5=pNF!se4H0mhK^)+q#Ez?&u!UxvP6f=br8%o%_0nbROs)(s`(RNavC6A)Uv%"
    "hjeyz59vJ7J*4wg_mIw>?jfCh-9tK6_QfA%K>{zH9lq*))TjUUdml2X=^oOl>mJe>&^@Hn&^@FxsC!6fNcWIVQ}>Y0u<jw95#2*N"
    "qq>K5TDpgH#&i$qjO!lKnb19?)7CwtGpTz>XG-^w&b00!of+LjI<vZmbmnvq>CEdM(pk_wq_e1dNM}j+kj}F1A)OW7LprOvhji9-"
    "59zGy9@6RP9@5#+J*2a#dq`(X_mIxE?jfBj`=b3_0RR91000000000000000000000000000000@Q?fnyETJt"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

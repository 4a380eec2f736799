"""Names with escapes, dots and ways up."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvf82HinP>=wn8KHCslwQFE6XyoYNkGK~pytnEgYXNW;vqq<t{~O_(E!XI8x{!7!7vI&BJgl^"
    "3;@v)@N@(LCzw#xrRV3TAg4zU3hiZNV1<~)2;)OiG9x2IfElU|K}&#@3M$AmK$5HigE$9+cs*2}6_|oS@=Q!jjF9vUF^`$i0Gh&i"
    "&|J_l$YP?w9!NL<kwdVbzY8PKH?TaZz&x5xX_3ZYNt}t|G&Y3|dnwv62t%d8o(W!SV6PRpp#Ee)t6Nl{-gAJ8vjM{g9G(J<LV9|S"
    "I;MgN*Dy~PS3hUh7FPPlgAB(|iU(M@)^I{Z4A8@sfloTtz`7)}Bqx<!I@-vKhkbz3cM0cE4A&eU^l%k`h7)t5UQ!ANA{-e}+ERj0"
    "byuLi{=!XMTWSaIXj^KuErr>Z5<zQvB%!tKDQ!z3(lraHnFenzAjBCH*KiI*+iMN)&}e%h+F$5xuQ@!U>6#n>0Nq-6&H"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

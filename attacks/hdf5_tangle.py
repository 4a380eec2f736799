"""Forty groups that each hold all forty: paths without end."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "read"
READS = ("good", [1.0, 2.0, 3.0])
BYTES = (
    "c-rlqdvqLS8HabbTL~q_6qYv7Kx+vSAeA(`Z4(U8!nPC|Acrmj8V{Ef2*}9IRX7kXN)*tbz*&$>xCjwYqJS<6oPY(xMTmg13QEwT"
    "0R_W-1rA10y6+cw-$R}Ghfas{>_6X`?bk2K?6dDYGr#%1Id4UF`SfX9O^dzzs;Y`5V>Pk&zuu8op(CNT-M=3uZCu)OrM)rX-jA>S"
    "w_16BhKz6f<qlZ3EEd~%a(w%9+LD#_Xxa9f^v_G}CgaKW(B74HwQMIpQ)wGyJ5yI_YvmWuomgpGWV`?LO1nh*S07nvt75#uc&%8r"
    "v|}xA^7(W~TWouevmHKwv!1Qx^PKbl`=#az7xVPbjmM@|*p9pH%KwbVD{oAZe($xlYrD>vJ115_c5ZA|RczLo^6yjsN6@?fo=7C("
    "6`m^NO^G)N;nn6ZKX(KBB+lBs^0ip9WYvEAXXEdy7`;<<Ef|#Tk&WcLChupfbU#nF`=;rdGB{87E6H}b-qeEabiaaZ7q^cF+v{S|"
    "?!QWntXgM{96LkrzxuDqC+7Ck*_HMhS2Mp+X>XV9&U0cyY~?j7|FK4P?D%<=R!VPdK+x=<JZ+FQa)qmrz2Wd{zt?{JX1=BQ9X?<4"
    "Tm2o)Z}CFS@5Du#-=03rZ{Nk5-)sSXqrh+Of^hh4+@!MIK0O$}rAsuwU6*No2QSzB=C0KI_Ftv>t-Dn7+xR`r@7UGw8wGyLSA@gw"
    "xNuut6O7;dwVL1L_cg!m*K2;uH)?*{eyI5!x=!;uGN}3Oy$OD!z;EG(ko;G;9oZ}xzo{Q<eg|&R{EpwM`7IPRzoWNlemig0{Cc-*"
    "e(Qe@zfs^f^V5+0cXRR1ErRh|yhHPw9n$>v-KF`>tk(SY+@txOxKs06J*@d1z88L@z;Eg9ko<S19QSL3@teC(^E>u{=C|=zn%~mH"
    "n%}x#YkvFh*ZdAXs`>4D1b(ByZ~mc>{8!$no*j(e@?)Cc-p4h+BPGpm{t3<R(36_qw%=-g+n>_>CjSV(QQ$ZA`*8T}++FJ4Y#%>A"
    "JicD{le_NkF1Ys{>i!P#7}+izUTLcw|3~P4dD$*>>F-JIDBZ6|w)^FRzsu}W$LM}-vfX)XG<fr?M}<*ckLv%d>yfuc*Q3;5bv^1F"
    ")AeZdX}zDvpVRed;92TX6zWm&nQ*zx{9SW7{DS7PdR%i^d`WXT@v`Q!=XuR#-)ox7?5l7Y1uk<hhI5>>xv=kb`qwqTU2kZ92jA5E"
    "=HAx)_Ww)sTlY`RZ{vS7zhe{d8wGyLZ-v9Jy<friI{iDE-(=-hlJ~CDPl+pj%Twcu-?ok7ir*nIsLAW}8^;yDy&`b%yJ7QNNXA3q"
    "HzzmM<#!CmZ)%gc;&))W=68Hk&2M3b=67^6&2MM5=GWUo^IM;S-ze~#sR@VQ)K2pA=Lh4rI8*bR-BR=0x0U8Mv$f{8XB*A$#4OEk"
    "^(QpH!*k#_3jCI4hr@44xGnD-jNjZm&F@&f=C|>an%`1`=C^J~&2Rs<n%}`j&2QIE@EZkw^V@&8{JQIgCpgX;9M`cA^oUcO5A3M>"
    "*?K*B-Zo$Nv)>DMCv|aw?l&si6X|Gte(S0O_V4h`JLc;;(A%Wzz{mn!2l5$R2Zk2vI?%SWt^@5Yx(*~4QwO3@2U6*9j${29;c8JZ"
    "ehaOd-}*MqueYn_H?>6b+qqQpJGzVJcYIIH@4z1L8wGxgyM@DV=VI~u)?oZ*mT7*6_tN}U@2&YQuGIWav}=BQmTP|d_SgJo_k-Uk"
    "@SEEw9DeI|k>hw<Fn&uNn%}Nfn%}{k<~Mhc=C}V~&2QZSn%~CHX@18Jf!`?bTRw38+>g+G{PAn=9OxE6y2XFHo23;G?iR1;UMQ{j"
    "MYq)J?iOiV-8fCsE|9ia+O)J8X%|YnNZQ5Hwn*D5zmJU9EaNrHc+E0ivy9g)<2B28%`#rIjMpsVrDeRdjF*=2(lTCJ#!Jh1X&Emq"
    "<E3T1bgMcKsxjwj7fgD;K3}q)cBwm_E!O?)@zB+Qa;xrV>yDel-8<WiXYPmD&|khePN%M)$wN(!bC}6-jxae+m&tKHZ*rWYOpbFT"
    "^)m|R@dHc62loudQR--ur+mTWDaV>T<v5e49B=ZJV@#fMlF3s}grg`NhcjOc$0NJ4Qg4<A<G1)Flc#*e<S8ecJmplAr<`W;l)TAP"
    "&M<jO5Bx@f-_j}J@LRu^aJY9cesgD<Jmsq<PdVG<DPK2v$~h)aIm_fJ=b1d^T=<Owzxm$vlczXtlACB>w)59-arJVk?q_{t(l4{R"
    "pRMbwUA<kd``PbLR6VS5rR=|bgVllZH%*>$zR6R*ZSs^0O`dX*$y54Fo^r9tQwr39DAa+}1>qdW#)aGJj$r&2E-`t^WhPI#+~g@&"
    "nmpwylc#*w<SEyfJmqTmjRL>LE5hM-P{0^DAQ-=yYfYXqVDgmfO`dY2$y0t{@|5dLo-%0il$+o;3jF472!~&9m2h)lFn&uvGI`1^"
    "CQrH5<S9jyr`%@pl$%YSa=Xb>eg?l$;J5sf^>H3i6?@Qm<w|oNVLbRTS6}zl{j6_1={&eY_p^0<jjN}tbU*w3k!feK_Jef4ylfW^"
    "skE=SdjDD7FC*Kz&Pwa1dyI7Ier4HC$vjrKX6*2E^Y@zdmDW`U?C<BB3*2FHfgzI%++}isUzl9r9+L~)X>x&Inq1&s>Od6gK;iCi"
    "j$`(F<C{m^XYz;#Odj!|$s-;%dBljxBknhO#G@vUcm#f<z;EWEaQL<L+&7PS%;XV|n>?aq@`xu)9`U5fBYtD@h^I^*@dx;g0>7o-"
    "g~P91Ps2Bl7&UpspG+RH#^e!yF?qz8$s?XNdBk%jk9Zb-qrh+enQ-{E>%910NB^6-j{btVj{XmG9sMP99sOl<9sPN89sM<P9sO1K"
    "jRL=^7uQdow!$5kYt8wdSx?OI@?b*uv(KD3Sl)ld^s~>LaL*Q*J0;qm-#VYgVb*c-%_CkndBhtgk9gDM5pSD3;$J3@D4RUu-zJZk"
    "pbkW#4iw)C=Qw897xT>{-Z6PZJfZllo{~`f7N;f@zY`xzD1Lil3B_;U#tFr5wkiR?5#TqMOoYPkgm7DTTrhr1(-Ml`uIZZJ!A&*4"
    "xfz<@{>?PMb=8{R#w|3zW1GWo6!<NFJRE+9gxk>*g7KT5srgNAsrhZ+O7mN;)BLt=qxl`0rTHD1tNHDn1HVz=w=ny|<#+PFJa^sb"
    "Snd6`4mY^p>p0!d^4{d0O?Z;-H!Ry@`AX}aVc7X)-LF@+2TqRmd4&CYee;NUx(*D~>pC#Lovs6g23-e6chGg9b6Z^pyhdFI>UW|J"
    "M4=93wh!kxX1|BNdBl9pZ?;ME+qXdTo5^T?dlqVbCqAY5t!~l$4ljb=DDYcq4u{{YEX>n&YA}9tt(xDlPiuY~ch&rscGvvYE!F(?"
    "@1pq~+*9-0wFmr0f#3XY;qaS0O^(y22jjP#)%^DErTHCMq4~|P)cg*$Yku37Yku4J*Zd~;gWo9do7!i6oJUNJ$+AVUx>K~z+dAxi"
    "uhCO=Kg;{%`D%^sXP>v$;(pHNx}SZn)e`q}X6k<S`9Wd5-1(TxSNxt+?bbo?drq~>b^M-F?dnF<pHm&Rm;2n^eV%^LDTxJqPDxe3"
    "=akfZM4nUP_M>~=y5G8uZhc3;bsOFKj(+Ply5nrr*KKtB(XB)2x2}p?f5mTI6}SG1-?}Q!PoloAihFr-AoGL+PuBhMga=Rdrzh+F"
    "c(PwT*?*oK;Jj8hPLs3?q-~ZqEp0~Hh0-pPcCoZA(zeR)Bjd@sKc1}n<H@=|o~--h$+|zDto!51x<8(*`{T*FKc1}n<H@=|o~--h"
    "$+|zDto!51x<8(*`{T*FKc1}n<C%4TYS+Q3d*5$fv0JalZ(gyRf9yA}cryQt_`G5_uVS^^k3RD%-24l_c@=K{h2OjiH~+$KUd0-D"
    "-)~-pn}6Xqufom0@S9iR&WHTwRX8470(z$NQNR0l+<iWN_wTs#Fu(hEqQYZsz+7T(z+9psU@p-VFqdcvc)qhF;Q3BN!1JA^fag1$"
    "PvGbHIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV_"
    "_&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5("
    "j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x"
    "=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}"
    "evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x"
    "<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BF"
    "Iew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#"
    "pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV_"
    "_&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5("
    "j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pX2BFIew0x<LCG}evY5x=lD5(j-TV__&I)#pMSLd{J(nz;-m"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

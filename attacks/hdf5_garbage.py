"""The signature, and then noise."""

from pathlib import Path

from ._hdf5 import unpacked

VERDICT = "refused"
CLAIM = "HDF5"
BYTES = (
    "c-jHL3qSOUNJK^r3K|Mug2LI)>kp$L*V%&jy%0sX=*>>4J$(ut@In)|Cp!c?QQj<gdNR;X96+XdS*q!Ovh9FzdrX@}nu7RWNx-_l"
    "f83$x0V|8`zgCY2=wR<mHvmUX$J@}bkiM&Ec(VZT_2y*1*nZm|mFJCf5Sa*h)6c^Pv&y=rC%M>3#P=)?f7=#1OZnU`d8h^1Go6Y!"
    "5|tDn>$yzv)+T$;IyGzzqdI3j^*;w_%3c9r2hks>>mCBB3a+cW;*N$oHm;>HX5K;Y;EA1O8kxg0u{dHH_5O8zCQ1K4#S_j}1{nJ-"
    "aVTN)t$(jR#yRuGe}tyIr5@LS3qG)~X*smKT99M9I||@FuazPd1T&Pmb+foTYH`@{o_&TGP8(qL0&Gth4M%Ljv|oHfvjn(?d9~w`"
    "rmPauc^&VZAO?s`cbHqzr8ul>$4`>&-Yr2)2xd~F)-kyG3nZ9Alp%qhS%Fr(lDfi=Btc~ANdr_G1?l6Xx{yNy04F-U0@SuuF^Qk="
    "ifs&$2Z9y6ER0~cDk#-Y?ww{)Mt{j*?E_KSP)9ukAFRqkMPcA<{7e**Q2q|C>DQ}<#0yrqq}q}bw|FKNq$}Lha7lBoN*?7&=-bO|"
    "RgttPUJE;jy;{VYL{SZ^xABpgwUB4L6(s*Tz|k_`a!>Mdmpd05JBXjksgRT+LLugfS$9knVeaNP+Xt-f3i0EzaT7D-C>+8jQ!eoo"
    ")^H3c+;?5<f%2jky#X7Cgp-0;I}M?au9U+w09x&|MCxdzj=XR%=Vf{43Sjgz;v6yyEct(M*1-&Y$lGkO4gm5DPsW~T4}e($rM~_{"
    "(~p_~`R(#(R4xRpgvE6on!nY7g!;k4N>OM57*~HD_>^mL0D*_nfAKnQKq<*hzvL6Z;wEZU2`EU29S6Luz0tp`bq%&@`l;-%cAM@H"
    "C`B)wIcyz+T;d@Xyr8<J8)x{Er)%xk*b%G30?PN}Aq(Hy%EJSkPKF*=gcscjbrlsLnJ@c8*Ur=MxeN7Q7(QJ0Wfdl1K2e0SGyeEw"
    "Mgm?7(bD5J&q88W7l+b`x5YXWec*bIGptjp%6vOe7Kh}l3rNlBfWRa9cx>!hosswt9U(;iMJjFgn)iu|R5z&DKUi_~5fvt!CRgs!"
    "#VE1!=w1pJT6WM5!eqPT_v$XIkVl=Eo^62J^Fjw34QlOr$sV{PifT`@2p9xS{aqKY6A8k*B0DDACq#paf)VC2#@X$0^_E0Z$m$Tc"
    "3b1~;kzm(mR_ULvm=X~~oN=b&vLsmTH0e3T4k&Iu2$0`0*iZMDE*vBeZSIdeobkdj^F%^_>C8o_b>2N&k*PK2xLe~cllM0;l+rnH"
    "2^}Cb(c&KjxJk!j3(!dfPEO52DGZihL%`b!;Mk4LRiML_G)d3R>7NfAT6>Qr8f0_>`PE5GQqyxFle1~!PUw9;U~th$nN!m~x?-S$"
    "Y}K{J9ESCFehj0SNs(UhzylSn@^_8<fk8W-Y73Zzz?25noGIDG#Ln^fz&$0E=Cjec4-sf##H$Jo67%Rnu;1`~ZUzerw&s`j;GEJz"
    "y)(+Un^tQ0g(KXu2yWD8R|Or>VT=MLw<{Vws&ieMf)pGc86gy2^F2bgzY(VffG~!7`5H!NlTq`J0pYVN?`WcC_?+<_of*mM6?Y(v"
    "w{;0Y9Ae!NHfU(-3ONtiM*w;dEqY<_>sxL?tOaiE8*ET;J|%q+IMsbhZ~6IiKUcAwvXjO{r49nHMiEbW1=RZp1{6iU=8S?Fa`oIY"
    "TYIC-Se@ZD5*8|3sl9@_$+n`{!y{Ol`2CVV=d%8thL5}&t>IAGxLyzpJ;p9dCZk1298Te?wq8YWHucXw`WZ&j%=)S-LgI#mm|FD&"
    "P5+Q;q5JH5bwu{UHjTeYV%?y1?N;2o!x#TP0!2ToKLU{cyC@_Kx7-?GEQzahohuBCJ@K}v@+8s``@<?xlP#{#Jws)JU$o?!g$C(6"
    "YS)wS^|y~2jp((I(hZd77V*9zeX=o@Qai}vWT}Sesd>PA(f@_<w|Y);e8d)ieSU_im|**|Y%B?B`$m#74|Z}j1Ec|jJ12{ZR?Nk`"
    "O4PkCpKto3i*bkGxB-_sk3aX^r`Ay|muk#%fdDXptfpL=v?{Dj<zbZfj`A@wVa%wFTH}+s)uZdaSS*@3tY+dJTw(TWc54>+`F|2t"
    "m8O6WIR1b4LKTi8EPcL47rIbRyIw7X_8YEYS6E}}F9Pmd>lqLYqm8u+RMWY+4q`>i^mi5_ICxR+x+G=X3cLE;EuY^tc_=%?tmt^P"
    "B9fU-m!au^=aC}pBooA+yxi=`t5WI&YwSkNdz~OI+XI-u1l1COT}L6m<^U4>Ed4brJZ;`Qy)&!;X;PxaD?|K{QXhZFX*~)!``sy>"
    "kfK6q%XzFSsb^bgmT6JDD7YL1IsCPDqC^JD*x7aIqmsUMi|K)RA>pr&h$qTrSCTp4D!vy&18oj$gejEi6_`U%{e3d)N+rD44C2n7"
    "@>BGQ10{WFRmp`aBOCqc>GOcBU)3(>8+t(?Y>4*W-wz8P<_OLId%~qn<1>5JJz&+h#6!@Awxe)NPE?w4_kqKh1GcB~)JuFwqvz=?"
    "5&z-ekF^l%Ob?87$-&kCRGk$GoxWiZ^*Mqb^;T2w>;kgciFp29Jtkes8T`j-pZy)?2TXhlFkb=XUomX7N0$QtyrtlP?kV`(e>oOu"
    "QEJhE?pn3#egI9B2?ol}0$TP-BACob!AY_HVS!Qxz(Jd&i}1@hLGiZmAFny=nt5ryHo#oPA=|Mf;oWLyJ7H@**qMq<_feF}Khzv$"
    "W6A6$yDezrL+dQQv=aaxSWj;|ypO&aSK3Q2iWJ(D^BFVB29YDx4IgCQO)Io?udqzt&ok2enpg$d8Cm;kwh#=4r~=r$wdVjGK9X#S"
    "J2+1h;mrC|)uyMt3Rn3Uk05G!`S5^O9F>4l-{HXEyH|qnL-FZ|)gv)R#^iZ~7Arqk7$Myl`Y9t{|CzHqfp6)$o<2*2b9hJc+l0g{"
    "KVX;ZWf+nG(^ukXJO&sh{O3jUfiYyKpWo`}u;3C@qu+D>6Xtn(A-4mP#k6g&o)e~<4ti{tZ9h(|#}}4$OB?&Nr)VE$^h8OrdJFG~"
    "yx~h9?j5g<{q<SNRpZk9ZrPRl!<6L)DKw*Oc2t!tgc5zny-NzHiR2z303^12=DVY+t*eo{LhBv5?s3!Qw$jTrt2>B6kQzbR!!XbQ"
    "@Q;NG5j_9rz0gO>^}ShB7`n})56COHEM`)+%tT~41L?U|;>W-OBiG5PPH}K2eTkhf6rh&(9;wBbkeVO~;Bis>I^(%Ojiod6db39+"
    "9fSJ&Ps}i8RDu76O6uIq<?<)cTYZpAO5jpx9|(LaP#v6fP#NY*gK6$J=>!%DQ_?M!EjO}vCC4<lrS?;lw&0aRr{^ps@{#_un!l_M"
    "xhpz7=HXnM6YZs=4Rllsh$)}5-IVc*z>Zx{Hw80F|0hWn&>e%%SVWGex+Mlu5vQcUebOm35I~{nx+mf*YlJbFAPmY8q_qf3#f*-&"
    "eZs1&wDLG>=oHARi^z`NdjM<X2pj_mOnD+Fz=pO5IWB1Y_<Xmr^al3lG-IVtU){YYv4EVvSlCR16yFk``}LeEb`(FJcl92Wa0-)v"
    "z%ZPIZ0Tf#1TdldJN5k*#v8(8lX~n&%U%&`{plvVf5%%(s0Wt=Sq-u`Cp)qMWe@0Dg7hLApyn&FL<UgXg77L^WJb66l6Yw!1+V7D"
    "&!I>{a(q|Q?u1N3YAZbygEH6e^<dIm^|MRJY{8YM4CvtGvH^NE2@2;t43j|+;nX?LyqOYzsHmYkh?E3ij*%_??0A%~sLgOzn(Q!{"
    "D?WpMhrIdQsI>d6po1HLh|$167rb-fvpjdHYzSp8|2)>r!+1L}`>d6RbgsW3x)o~G)ybqy)6l~"
)


def make(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(unpacked(BYTES))
    return path

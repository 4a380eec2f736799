"""From the bytes of one block to its numbers: the types of 32 numbers a block, and the K types of 256.

Every number is a scale times a small whole number, and perhaps a shift. In float64 that is exact, so rounding the
result once to float32 gives the bits that float32 arithmetic gives (`packed.py` does it). A signed zero and a NaN keep
their sign.

Source: ggml-quants.c and ggml-common.h of ggml; `gguf.quants` is the same in NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["BLOCKS", "E2M1", "Decode", "half", "nibbles"]

Decode = Callable[[bytes], list[float]]
"""The numbers of one block, each exact or of one rounding less than float32 needs."""

_HALF = struct.Struct("<e")
_LOW = bytes(byte & 15 for byte in range(256))
_HIGH = bytes(byte >> 4 for byte in range(256))
_TWO = tuple(bytes(byte >> shift & 3 for byte in range(256)) for shift in (0, 2, 4, 6))
_TWO_UP = tuple(bytes((byte >> shift & 3) << 4 for byte in range(256)) for shift in (0, 2, 4, 6))
_FOUR = tuple(bytes((byte >> bit & 1) << 2 for byte in range(256)) for bit in range(8))
_SIXTEEN = tuple(bytes((byte >> bit & 1) << 4 for byte in range(256)) for bit in range(8))
_TERNARY = tuple(bytes((byte * power & 255) * 3 >> 8 for byte in range(256)) for power in (1, 3, 9, 27, 81))


def half(data: bytes, at: int) -> float:
    """The float16 at a byte; a NaN keeps its bits, which `struct` does not promise.

    >>> half(b"\\x00\\x3c", 0), half(b"\\x01\\xfe", 0)
    (1.0, nan)
    """
    value: float = _HALF.unpack_from(data, at)[0]
    if value == value:
        return value
    bits = data[at] | data[at + 1] << 8
    return float(struct.unpack("<d", ((bits >> 15) << 63 | 0x7FF << 52 | (bits & 1023) << 42).to_bytes(8, "little"))[0])


def nibbles(data: bytes) -> bytes:
    """The lower halves of some bytes, then the upper ones.

    >>> nibbles(b"\\x21\\x43").hex()
    '01030204'
    """
    return data.translate(_LOW) + data.translate(_HIGH)


def _joined(low: bytes, high: bytes) -> bytes:
    """Two rows of bytes with no bit in common as one."""
    return (int.from_bytes(low, "little") | int.from_bytes(high, "little")).to_bytes(len(low), "little")


def _q1_0(block: bytes) -> list[float]:
    d, bits = half(block, 0), int.from_bytes(block[2:], "little")
    return [d if bits >> i & 1 else -d for i in range(128)]


def _q4_0(block: bytes) -> list[float]:
    d = half(block, 0)
    return [d * (q - 8) for q in nibbles(block[2:])]


def _q4_1(block: bytes) -> list[float]:
    d, m = half(block, 0), half(block, 2)
    return [d * q + m for q in nibbles(block[4:])]


def _fifth(bits: bytes, codes: bytes) -> list[int]:
    """Codes of four bits with the fifth from a row of bits."""
    high = int.from_bytes(bits, "little")
    return [q | (high >> i & 1) << 4 for i, q in enumerate(codes)]


def _q5_0(block: bytes) -> list[float]:
    d = half(block, 0)
    return [d * (q - 16) for q in _fifth(block[2:6], nibbles(block[6:]))]


def _q5_1(block: bytes) -> list[float]:
    d, m = half(block, 0), half(block, 2)
    return [d * q + m for q in _fifth(block[4:8], nibbles(block[8:]))]


def _q8_0(block: bytes) -> list[float]:
    d = half(block, 0)
    return [d * q for q in memoryview(block)[2:].cast("b")]


def _two_bits(data: bytes) -> bytes:
    """The codes of two bits, each 32 bytes four times."""
    return b"".join(data[at : at + 32].translate(table) for at in range(0, len(data), 32) for table in _TWO)


def _q2_k(block: bytes) -> list[float]:
    d, low = half(block, 80), half(block, 82)
    codes = _two_bits(block[16:80])
    out: list[float] = []
    for group in range(16):
        scale, shift = d * (block[group] & 15), low * (block[group] >> 4)
        out += [scale * q - shift for q in codes[16 * group : 16 * group + 16]]
    return out


def _q3_k(block: bytes) -> list[float]:
    d, packed = half(block, 108), block[96:108]
    low = packed[:8].translate(_LOW) + packed[:8].translate(_HIGH)
    high = b"".join(packed[8:].translate(table) for table in _TWO_UP)
    bits = b"".join(block[:32].translate(table) for table in _FOUR)
    codes = _joined(_two_bits(block[32:96]), bits)
    out: list[float] = []
    for group in range(16):
        scale = d * ((low[group] | high[group]) - 32)
        out += [scale * (q - 4) for q in codes[16 * group : 16 * group + 16]]
    return out


def _scales(packed: bytes) -> tuple[list[int], list[int]]:
    """The eight scales and eight shifts of Q4_K and Q5_K, of six bits each, out of twelve bytes."""
    scales, shifts, rest = packed[:4], packed[4:8], packed[8:]
    return (
        [b & 63 for b in scales] + [r & 15 | b >> 2 & 48 for b, r in zip(scales, rest, strict=True)],
        [b & 63 for b in shifts] + [r >> 4 | b >> 2 & 48 for b, r in zip(shifts, rest, strict=True)],
    )


def _by_thirty_two(block: bytes, codes: bytes) -> list[float]:
    """The numbers of Q4_K and Q5_K from their codes."""
    d, low = half(block, 0), half(block, 2)
    out: list[float] = []
    for group, (scale, shift) in enumerate(zip(*_scales(block[4:16]), strict=True)):
        times, less = d * scale, low * shift
        out += [times * q - less for q in codes[32 * group : 32 * group + 32]]
    return out


def _q4_k(block: bytes) -> list[float]:
    return _by_thirty_two(block, b"".join(nibbles(block[at : at + 32]) for at in range(16, 144, 32)))


def _q5_k(block: bytes) -> list[float]:
    low = b"".join(nibbles(block[at : at + 32]) for at in range(48, 176, 32))
    high = b"".join(block[16:48].translate(table) for table in _SIXTEEN)
    return _by_thirty_two(block, _joined(low, high))


def _q6_k(block: bytes) -> list[float]:
    d = half(block, 208)
    low = nibbles(block[:64]) + nibbles(block[64:128])
    high = b"".join(block[at : at + 32].translate(table) for at in (128, 160) for table in _TWO_UP)
    codes, scales = _joined(low, high), memoryview(block)[192:208].cast("b")
    out: list[float] = []
    for group, scale in enumerate(scales):
        times = d * scale
        out += [times * (q - 32) for q in codes[16 * group : 16 * group + 16]]
    return out


def _q8_k(block: bytes) -> list[float]:
    (d,) = struct.unpack_from("<f", block)
    return [d * q for q in memoryview(block)[4:260].cast("b")]


def _tq1_0(block: bytes) -> list[float]:
    d = half(block, 52)
    parts = ((block[:32], _TERNARY), (block[32:48], _TERNARY), (block[48:52], _TERNARY[:4]))
    codes = b"".join(data.translate(table) for data, tables in parts for table in tables)
    return [d * (q - 1) for q in codes]


def _tq2_0(block: bytes) -> list[float]:
    d = half(block, 64)
    return [d * (q - 1) for q in _two_bits(block[:64])]


E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""The values of a four-bit float, doubled (OCP Microscaling Formats)."""


def _mxfp4(block: bytes) -> list[float]:
    d = 2.0 ** (block[0] - 128)
    return [d * E2M1[q] for q in nibbles(block[1:])]


def _half_e4m3(code: int) -> float:
    """Half the value of an unsigned eight-bit float. Code 127 counts as zero, and the top bit is not looked at."""
    exponent, rest = code >> 3 & 15, code & 7
    if code == 127:
        return 0.0
    return (rest * 2.0**-9 if exponent == 0 else (1 + rest / 8) * 2.0 ** (exponent - 7)) * 0.5


def _nvfp4(block: bytes) -> list[float]:
    out: list[float] = []
    for group in range(4):
        d = _half_e4m3(block[group])
        out += [d * E2M1[q] for q in nibbles(block[4 + 8 * group : 12 + 8 * group])]
    return out


BLOCKS: dict[str, Decode] = {
    "Q1_0": _q1_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_K": _q8_k,
    "TQ1_0": _tq1_0,
    "TQ2_0": _tq2_0,
    "MXFP4": _mxfp4,
    "NVFP4": _nvfp4,
}

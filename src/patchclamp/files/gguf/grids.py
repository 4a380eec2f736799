"""The IQ types: their codes pick rows of small whole numbers out of tables, which `grids.txt` holds.

Source: ggml-quants.c and ggml-common.h of ggml; `gguf.quants` is the same in NumPy.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from .blocks import Decode, half, nibbles

__all__ = ["GRIDS"]

_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_DELTA = 0.125
_Rows = tuple[tuple[int, ...], ...]


@cache
def _grid(name: str) -> _Rows:
    """A table: `NAME width values digits`, where a byte of the digits packs two or four places in the values."""
    for line in Path(__file__).with_name("grids.txt").read_text("ascii").splitlines():
        word, _, rest = line.partition(" ")
        if word == name:
            width, values, digits = rest.split()
            return _unpacked(int(width), tuple(map(int, values.split(","))), bytes.fromhex(digits))
    raise LookupError(name)


def _unpacked(width: int, values: tuple[int, ...], packed: bytes) -> _Rows:
    bits = 2 if len(values) <= 4 else 4
    flat = [values[byte >> shift & (1 << bits) - 1] for byte in packed for shift in range(0, 8, bits)]
    return tuple(tuple(flat[at : at + width]) for at in range(0, len(flat), width))


@cache
def _signs() -> _Rows:
    """For every byte: -1 where a bit is set, else 1."""
    return tuple(tuple(-1 if byte >> bit & 1 else 1 for bit in range(8)) for byte in range(256))


@cache
def _even_signs() -> _Rows:
    """The same for seven bits; an eighth makes the number of minus signs even."""
    return tuple(_signs()[code | (code.bit_count() & 1) << 7] for code in range(128))


def _signed(out: list[float], times: float, row: tuple[int, ...], signs: tuple[int, ...]) -> None:
    out += [times * value * sign for value, sign in zip(row, signs, strict=True)]


def _iq2_xxs(block: bytes) -> list[float]:
    d, grid, signs = half(block, 0), _grid("IQ2_XXS"), _even_signs()
    out: list[float] = []
    for at in range(2, 66, 8):
        (packed,) = struct.unpack_from("<I", block, at + 4)
        times = d * (0.5 + (packed >> 28)) * 0.25
        for i in range(4):
            _signed(out, times, grid[block[at + i]], signs[packed >> 7 * i & 127])
    return out


def _iq2_xs(block: bytes) -> list[float]:
    d, grid, signs = half(block, 0), _grid("IQ2_XS"), _even_signs()
    out: list[float] = []
    for i, code in enumerate(struct.unpack_from("<32H", block, 2)):
        times = d * (0.5 + (block[66 + i // 4] >> 2 * (i & 2) & 15)) * 0.25
        _signed(out, times, grid[code & 511], signs[code >> 9])
    return out


def _iq2_s(block: bytes) -> list[float]:
    d, grid, signs = half(block, 0), _grid("IQ2_S"), _signs()
    out: list[float] = []
    for i in range(32):
        times = d * (0.5 + (block[74 + i // 4] >> 2 * (i & 2) & 15)) * 0.25
        code = block[2 + i] | (block[66 + i // 4] >> 2 * (i & 3) & 3) << 8
        _signed(out, times, grid[code], signs[block[34 + i]])
    return out


def _iq3_xxs(block: bytes) -> list[float]:
    d, grid, signs = half(block, 0), _grid("IQ3_XXS"), _even_signs()
    out: list[float] = []
    for group, packed in enumerate(struct.unpack_from("<8I", block, 66)):
        times = d * (0.5 + (packed >> 28)) * 0.5
        for i in range(4):
            at = 2 + 8 * group + 2 * i
            _signed(out, times, grid[block[at]] + grid[block[at + 1]], signs[packed >> 7 * i & 127])
    return out


def _iq3_s(block: bytes) -> list[float]:
    d, grid, signs = half(block, 0), _grid("IQ3_S"), _signs()
    high = int.from_bytes(block[66:74], "little")
    out: list[float] = []
    for i in range(32):
        times = d * (1 + 2 * (block[106 + i // 8] >> (i & 4) & 15))
        one = block[2 + 2 * i] | (high >> 2 * i & 1) << 8
        other = block[3 + 2 * i] | (high >> 2 * i + 1 & 1) << 8
        _signed(out, times, grid[one] + grid[other], signs[block[74 + i]])
    return out


def _iq1_s(block: bytes) -> list[float]:
    d, grid = half(block, 0), _grid("IQ1_S")
    out: list[float] = []
    for group, packed in enumerate(struct.unpack_from("<8H", block, 34)):
        times = d * (2 * (packed >> 12 & 7) + 1)
        delta = -_DELTA if packed & 0x8000 else _DELTA
        for i in range(4):
            code = block[2 + 4 * group + i] | (packed >> 3 * i & 7) << 8
            out += [times * (value + delta) for value in grid[code]]
    return out


def _iq1_m(block: bytes) -> list[float]:
    scales, grid = struct.unpack_from("<4H", block, 48), _grid("IQ1_S")
    bits = sum(scale >> 12 << 4 * i for i, scale in enumerate(scales))
    d = half(bits.to_bytes(2, "little"), 0)
    out: list[float] = []
    for i in range(32):
        times = d * (2 * (scales[i // 8] >> 3 * (i // 2 & 3) & 7) + 1)
        high = block[32 + i // 2] >> 4 * (i & 1)
        delta = -_DELTA if high & 8 else _DELTA
        out += [times * (value + delta) for value in grid[block[i] | (high & 7) << 8]]
    return out


def _iq4_nl(block: bytes) -> list[float]:
    d = half(block, 0)
    return [d * _VALUES[q] for q in nibbles(block[2:])]


def _iq4_xs(block: bytes) -> list[float]:
    d, high = half(block, 0), block[2] | block[3] << 8
    out: list[float] = []
    for group in range(8):
        scale = block[4 + group // 2] >> 4 * (group & 1) & 15 | (high >> 2 * group & 3) << 4
        times = d * (scale - 32)
        out += [times * _VALUES[q] for q in nibbles(block[8 + 16 * group : 24 + 16 * group])]
    return out


GRIDS: dict[str, Decode] = {
    "IQ2_XXS": _iq2_xxs,
    "IQ2_XS": _iq2_xs,
    "IQ2_S": _iq2_s,
    "IQ3_XXS": _iq3_xxs,
    "IQ3_S": _iq3_s,
    "IQ1_S": _iq1_s,
    "IQ1_M": _iq1_m,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
}

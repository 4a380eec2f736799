"""The commonest packings decoded with NumPy, for whole tensors: the bits of `blocks.py`, which serves single neurons.

Types that are not here are decoded block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .blocks import E2M1

__all__ = ["DECODE"]

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.float32]]


def _half(blocks: Bytes, at: int) -> Numbers:
    """The float16 at a byte of every block, as a column."""
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)


def _split(data: Bytes, group: int, bits: int) -> Bytes:
    """Codes of some bits: every `group` bytes several times over, from the lowest bits up."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    codes: Bytes = (data.reshape(len(data), -1, 1, group) >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(len(data), -1)


def _fifth(data: Bytes) -> Bytes:
    return np.unpackbits(data, axis=1, bitorder="little") << np.uint8(4)


def _q4_0(blocks: Bytes) -> Numbers:
    return _half(blocks, 0) * (_split(blocks[:, 2:], 16, 4).astype(np.float32) - 8)


def _q4_1(blocks: Bytes) -> Numbers:
    return _half(blocks, 0) * _split(blocks[:, 4:], 16, 4).astype(np.float32) + _half(blocks, 2)


def _q5_0(blocks: Bytes) -> Numbers:
    codes = _split(blocks[:, 6:], 16, 4) | _fifth(blocks[:, 2:6])
    return _half(blocks, 0) * (codes.astype(np.float32) - 16)


def _q5_1(blocks: Bytes) -> Numbers:
    codes = _split(blocks[:, 8:], 16, 4) | _fifth(blocks[:, 4:8])
    return _half(blocks, 0) * codes.astype(np.float32) + _half(blocks, 2)


def _q8_0(blocks: Bytes) -> Numbers:
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _grouped(codes: Any, times: Numbers, less: Numbers | None = None) -> Numbers:
    """Codes times the scale of their group, and less the shift of their group."""
    numbers: Numbers = codes.astype(np.float32).reshape(len(codes), times.shape[1], -1) * times[:, :, None]
    return numbers if less is None else numbers - less[:, :, None]


def _q2_k(blocks: Bytes) -> Numbers:
    scales = blocks[:, :16]
    times = _half(blocks, 80) * (scales & np.uint8(15)).astype(np.float32)
    less = _half(blocks, 82) * (scales >> np.uint8(4)).astype(np.float32)
    return _grouped(_split(blocks[:, 16:80], 32, 2), times, less)


def _q3_k(blocks: Bytes) -> Numbers:
    low, high = _split(blocks[:, 96:104], 8, 4), _split(blocks[:, 104:108], 4, 2)
    times = _half(blocks, 108) * ((low | high << np.uint8(4)).astype(np.float32) - 32)
    codes = _split(blocks[:, 32:96], 32, 2) | _split(blocks[:, :32], 32, 1) << np.uint8(2)
    return _grouped(codes.astype(np.float32) - 4, times)


def _six_bits(blocks: Bytes) -> tuple[Numbers, Numbers]:
    """The scales and shifts of the groups of Q4_K and Q5_K."""
    scales, shifts, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    six, four, upper = np.uint8(63), np.uint8(15), np.uint8(48)
    times = np.concatenate([scales & six, (rest & four) | (scales >> 2 & upper)], axis=1)
    less = np.concatenate([shifts & six, (rest >> 4) | (shifts >> 2 & upper)], axis=1)
    return _half(blocks, 0) * times.astype(np.float32), _half(blocks, 2) * less.astype(np.float32)


def _q4_k(blocks: Bytes) -> Numbers:
    return _grouped(_split(blocks[:, 16:], 32, 4), *_six_bits(blocks))


def _q5_k(blocks: Bytes) -> Numbers:
    codes = _split(blocks[:, 48:], 32, 4) | _split(blocks[:, 16:48], 32, 1) << np.uint8(4)
    return _grouped(codes, *_six_bits(blocks))


def _q6_k(blocks: Bytes) -> Numbers:
    codes = _split(blocks[:, :128], 64, 4) | _split(blocks[:, 128:192], 32, 2) << np.uint8(4)
    times = _half(blocks, 208) * blocks[:, 192:208].view(np.int8).astype(np.float32)
    return _grouped(codes.astype(np.float32) - 32, times)


def _mxfp4(blocks: Bytes) -> Numbers:
    scales = np.array([2.0 ** (code - 128) for code in range(256)], np.float32)
    return scales[blocks[:, :1]] * np.array(E2M1, np.float32)[_split(blocks[:, 1:], 16, 4)]


def _decoder(size: int, decode: Callable[[Bytes], Numbers]) -> Callable[[bytes], bytes]:
    def decoded(data: bytes) -> bytes:
        with np.errstate(all="ignore"):
            return decode(np.frombuffer(data, np.uint8).reshape(-1, size)).astype("<f4", copy=False).tobytes()

    return decoded


DECODE: dict[str, Callable[[bytes], bytes]] = {
    name: _decoder(size, decode)
    for name, size, decode in (
        ("Q4_0", 18, _q4_0),
        ("Q4_1", 20, _q4_1),
        ("Q5_0", 22, _q5_0),
        ("Q5_1", 24, _q5_1),
        ("Q8_0", 34, _q8_0),
        ("Q2_K", 84, _q2_k),
        ("Q3_K", 110, _q3_k),
        ("Q4_K", 144, _q4_k),
        ("Q5_K", 176, _q5_k),
        ("Q6_K", 210, _q6_k),
        ("MXFP4", 17, _mxfp4),
    )
}

"""The parts of a partitioned variable, which a checkpoint stores one by one under keys that are packed bytes.

Source: EncodeTensorNameSlice in tensorflow/core/util/saved_tensor_slice_util.cc, and the ordered code it is written in
(tensorflow/core/lib/strings/ordered_code.cc). Variables are partitioned by `fixed_size_partitioner` and the like.
"""

from __future__ import annotations

from math import prod
from typing import NoReturn

from ...arrays import DTYPES
from ...errors import FileError
from ._bundle import Bundle, Entry

__all__ = ["pieces"]

_HEADERS = (b"", b"\x80", b"\xc0", b"\xe0", b"\xf0", b"\xf8", b"\xfc", b"\xfe", b"\xff", b"\xff\x80", b"\xff\xc0")
"""What is laid over the first bytes of a signed number of so many bytes."""


def pieces(bundle: Bundle, entry: Entry) -> tuple[Entry, ...] | None:
    """The parts of a tensor along its first axis, in order; None if it is cut along another. FileError for holes."""
    if entry.dtype not in DTYPES or not entry.shape:
        _refuse(bundle, entry, f"a tensor of {entry.dtype} and shape {list(entry.shape)} cannot be stored in parts")
    row = prod(entry.shape[1:]) * DTYPES[entry.dtype].size
    found, at = [], 0
    for axes in sorted(entry.slices):
        (start, length), rest = (axes[0], axes[1:]) if axes else ((0, 0), ())
        start, length = (0, entry.shape[0]) if length == -1 else (start, length)
        whole = all(n == -1 or (s, n) == (0, size) for (s, n), size in zip(rest, entry.shape[1:], strict=False))
        if len(axes) != len(entry.shape) or not whole:
            return None
        if start != at or length < 1 or length > entry.shape[0] - at:
            _refuse(bundle, entry, f"its parts do not follow each other: {start} comes where {at} is due")
        part = bundle.parts.get(packed_key(entry.key, axes))
        if part is None or part.size != length * row or part.dtype != entry.dtype:
            _refuse(bundle, entry, f"its part from row {start} is not stored, or has other numbers than it should")
        found.append(part)
        at += length
    if at != entry.shape[0]:
        _refuse(bundle, entry, f"its parts end after {at} of {entry.shape[0]} rows")
    return tuple(found)


def packed_key(name: str, axes: tuple[tuple[int, int], ...]) -> bytes:
    """The key that a part is stored under.

    >>> packed_key("w", ((2, 100), (0, -1)))
    b'\\x00w\\x00\\x01\\x01\\x02\\x82\\xc0d\\x80\\x7f'
    """
    text = name.encode().replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff") + b"\0\x01"
    return b"\0" + text + _counted(len(axes)) + b"".join(_signed(n) for pair in axes for n in pair)


def _counted(value: int) -> bytes:
    """A number as its bytes, the highest first, behind how many they are."""
    size = (value.bit_length() + 7) // 8
    return bytes((size,)) + value.to_bytes(size, "big")


def _signed(value: int) -> bytes:
    """A number whose first bits say how many bytes it takes: one for each seven bits of it and its sign."""
    bits = (~value if value < 0 else value).bit_length()
    size = bits // 7 + 1
    over = _HEADERS[size] + b"\0" * (size - len(_HEADERS[size]))
    return bytes(a ^ b for a, b in zip(value.to_bytes(size, "big", signed=True), over, strict=True))


def _refuse(bundle: Bundle, entry: Entry, reason: str) -> NoReturn:
    raise FileError(bundle.index.path, reason, array=entry.key[:200], hint="save it again as one variable")

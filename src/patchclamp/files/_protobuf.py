"""The wire format of protocol buffers: fields of a message, one after the other, every length checked.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

__all__ = ["Field", "Malformed", "fields", "packed", "signed", "varint"]

Field = tuple[int, int, int, int]
"""A field: number, wire type, and its value (types 0, 1, 5) or where its bytes begin; where it ends."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONG = "an integer has more than 64 bits"


class Malformed(Exception):
    """A message is not what its lengths say; `at` is the byte."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(at, reason)
        self.at = at
        self.reason = reason


def varint(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """An unsigned integer of up to 64 bits at `at`, and where it ends.

    >>> varint(b"\\xac\\x02", 0, 2)
    (300, 2)
    """
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                raise Malformed(at, _LONG)
            return value, at
        shift += 7
    raise Malformed(at, _LONG if shift >= 70 else "an integer has no end")


def fields(data: bytes | memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`. For bytes (wire type 2): (number, 2, begin, end).

    >>> list(fields(b"\\x08\\x96\\x01\\x12\\x02hi", 0, 7))
    [(1, 0, 150, 3), (2, 2, 5, 7)]
    """
    at = start
    while at < end:
        key, at = varint(data, at, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Malformed(at, "a field has the number 0")
        if wire == VARINT:
            value, at = varint(data, at, end)
            yield number, wire, value, at
        elif wire == BYTES:
            length, at = varint(data, at, end)
            if length > end - at:
                raise Malformed(at, f"a field of {length} bytes is longer than the {end - at} that are left")
            yield number, wire, at, at + length
            at += length
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            if size > end - at:
                raise Malformed(at, f"a field of {size} bytes is longer than the {end - at} that are left")
            yield number, wire, int.from_bytes(data[at : at + size], "little"), at + size
            at += size
        else:
            raise Malformed(at, f"a field has the wire type {wire}, which protocol buffers no longer have")


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def packed(data: bytes | memoryview, field: Field, read: Callable[[int], int] = signed) -> list[int]:
    """The integers of a repeated field: one of wire type 0, or many packed into one of type 2."""
    _, wire, value, end = field
    if wire == VARINT:
        return [read(value)]
    found = []
    at = value
    while at < end:
        number, at = varint(data, at, end)
        found.append(read(number))
    return found


def float32(bits: int) -> float:
    """The float whose bits a fixed 32-bit field holds."""
    number: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return number

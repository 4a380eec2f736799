"""Packed numbers as plain ones: sources that decode the range which is read, and nothing else.

`Strided` over such a source reads any key of the array. Element types and how they are packed: `TensorProto` in
`onnx.proto`; DequantizeLinear: onnx.ai/onnx/operators.
"""

from __future__ import annotations

import struct
from array import array as Numbers

from ...arrays import DTYPES, Values
from ...errors import FileError
from .._protobuf import Malformed, varint
from ..source import Source
from ._wire import refused

__all__ = ["BITS", "Bits", "Dequantised", "Products", "Reordered", "Varints"]

CHUNK = 1 << 16
_MANY = bytes(range(128, 256))
"""The bytes after which a variable-length integer goes on."""


class Decoded:
    """A source whose bytes are made of another's; `size` is how many there are."""

    __slots__ = ("path", "size", "source")

    def __init__(self, source: Source, size: int) -> None:
        self.source = source
        self.path = source.path
        self.size = size

    def refuse_changed(self) -> None:
        self.source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self.source.sibling(name)

    def close(self) -> None:
        self.source.close()


class Varints(Decoded):
    """`count` integers that are stored in as many bytes as each needs, as numbers of a type.

    Where the n-th begins is found by counting the bytes that end one; the places found are kept, one in 64 kB.
    """

    __slots__ = ("begin", "dtype", "end", "known")

    def __init__(self, source: Source, begin: int, end: int, dtype: str, count: int) -> None:
        super().__init__(source, count * DTYPES[dtype].size)
        self.begin = begin
        self.end = end
        self.dtype = dtype
        self.known = [(0, begin)]

    def read(self, offset: int, length: int) -> bytes:
        size = DTYPES[self.dtype].size
        first, last = offset // size, -(-(offset + length) // size)
        data = b"".join(self._numbers(at, min(CHUNK, last - at)) for at in range(first, last, CHUNK))
        return data[offset - first * size :][:length]

    def _numbers(self, first: int, count: int) -> bytes:
        """So many integers from the `first` on."""
        number, at = self._before(first)
        skip, rest = first - number, b""
        out: list[int] = []
        while len(out) < count:
            block = self.source.read(at, min(CHUNK, self.end - at))
            if not block:
                raise refused(self.path, at, f"its integers end after {first + len(out)}")
            at += len(block)
            found, rest, skip = self._decoded(rest + block, skip, count - len(out))
            out += found
        kind = DTYPES[self.dtype]
        letter = kind.letter.upper() if kind.letter not in ("", "?", "e") else {1: "B", 2: "H"}[kind.size]
        return struct.pack(f"<{count}{letter}", *out)

    def _before(self, first: int) -> tuple[int, int]:
        """A place at or before the `first`-th integer: which one begins there, and where."""
        number, at = next(place for place in reversed(self.known) if place[0] <= first)
        while (number, at) == self.known[-1] and at < self.end:
            block = self.source.read(at, min(CHUNK, self.end - at))
            ends = len(block.translate(None, _MANY))
            used = len(block.rstrip(_MANY))
            if number + ends > first or not used:
                break
            number, at = number + ends, at + used
            self.known.append((number, at))
        return number, at

    def _decoded(self, data: bytes, skip: int, most: int) -> tuple[list[int], bytes, int]:
        """At most so many integers of `data` after some, what is left of it, and how many are still to be left out."""
        ends = len(data.translate(None, _MANY))
        if ends == len(data):
            return [self._bits(value) for value in data[skip : skip + most]], b"", max(0, skip - ends)
        found: list[int] = []
        at, end = 0, len(data)
        while at < end and len(found) < most:
            after, value = at + 1, data[at]
            if value > 127:
                try:
                    value, after = varint(data, at, end)
                except Malformed as error:
                    if end - at > 9:
                        raise refused(self.path, self.begin, error.reason) from error
                    break
            at = after
            if skip:
                skip -= 1
            else:
                found.append(self._bits(value))
        return found, data[at:], skip

    def _bits(self, value: int) -> int:
        """An integer as the bits of the type. FileError for one that the type cannot hold."""
        kind = DTYPES[self.dtype]
        if self.dtype == "bool":
            return int(value != 0)
        top = 1 << (8 * kind.size)
        number = value - (1 << 64) if value >> 63 and self.dtype != "uint64" else value
        low = 0 if self.dtype.startswith("uint") else -(top >> 1)
        if not low <= number < (top >> 1 if self.dtype.startswith("int") else top):
            raise refused(self.path, self.begin, f"{number} is stored, which is no {self.dtype}")
        return number & (top - 1)


def _table(bits: int, place: int, signed: bool) -> bytes:
    """What each byte holds at one of the places of a packed type, as a byte."""
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    codes = ((byte >> (bits * place)) & mask for byte in range(256))
    return bytes((code - 2 * half if signed and code >= half else code) & 255 for code in codes)


BITS = {"uint4": (4, False), "int4": (4, True), "uint2": (2, False), "int2": (2, True), "float4e2m1": (4, False)}
"""The packed types: bits a number, and whether it has a sign."""
_SMALL = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_FLOATS = tuple(struct.pack("<e", value) for value in (*_SMALL, *(-value for value in _SMALL)))
"""What the 16 codes of a 4-bit float stand for (OCP Microscaling Formats, E2M1), as 16-bit floats."""


class Bits(Decoded):
    """Numbers of 2 or 4 bits, the first in the lowest bits of a byte, as bytes (4-bit floats as 16-bit ones)."""

    __slots__ = ("begin", "packed")

    def __init__(self, source: Source, begin: int, packed: str, count: int) -> None:
        super().__init__(source, count * (2 if packed == "float4e2m1" else 1))
        self.begin = begin
        self.packed = packed

    def read(self, offset: int, length: int) -> bytes:
        if self.packed == "float4e2m1":
            first, last = offset // 2, -(-(offset + length) // 2)
            data = b"".join(map(_FLOATS.__getitem__, self._codes(first, last - first)))
            return data[offset - 2 * first :][:length]
        return self._codes(offset, length)

    def _codes(self, first: int, count: int) -> bytes:
        bits, signed = BITS[self.packed]
        each = 8 // bits
        start = first // each
        data = self.source.read(self.begin + start, -(-(first + count) // each) - start)
        out = bytearray(len(data) * each)
        for place in range(each):
            out[place::each] = data.translate(_table(bits, place, signed))
        return bytes(out[first - start * each :][:count])


class Reordered(Decoded):
    """Blocks of equal size from `begin` on, in another order: the n-th that is read is the `order[n]`-th stored."""

    __slots__ = ("begin", "block", "order")

    def __init__(self, source: Source, begin: int, block: int, order: tuple[int, ...]) -> None:
        super().__init__(source, block * len(order))
        self.begin = begin
        self.block = block
        self.order = order

    def read(self, offset: int, length: int) -> bytes:
        parts, end = [], offset + length
        while offset < end:
            number, inside = divmod(offset, self.block)
            stop = min(end, (number + 1) * self.block)
            place = self.begin + self.order[number] * self.block + inside
            parts.append(self.source.read(place, stop - offset))
            offset = stop
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Products(Decoded):
    """Float32 numbers from `begin` on, times one that is read when it is needed."""

    __slots__ = ("begin", "factor")

    def __init__(self, source: Source, begin: int, count: int, factor: object) -> None:
        super().__init__(source, 4 * count)
        self.begin = begin
        self.factor = factor

    def read(self, offset: int, length: int) -> bytes:
        first, last = offset // 4, -(-(offset + length) // 4)
        (factor,) = _flat(self.factor)
        numbers = struct.iter_unpack("<f", self.source.read(self.begin + 4 * first, 4 * (last - first)))
        data = b"".join(struct.pack("<f", number * factor) for (number,) in numbers)
        return data[offset - 4 * first :][:length]


class Dequantised(Decoded):
    """Codes as the numbers that they stand for: (code - zero point) * scale, in float32, one scale for all or an axis.

    codes   the codes as plain numbers, their type, and how many lie between neighbours on the axis
    scales  read once, when the first number is: as many as the axis is long, or one
    """

    __slots__ = ("codes", "dtype", "inner", "known", "offset", "scales", "zeros")

    def __init__(self, codes: tuple[Source, int, str], count: int, inner: int, scales: object, zeros: object) -> None:
        super().__init__(codes[0], 4 * count)
        self.codes, self.offset, self.dtype = codes
        self.inner = inner
        self.scales = scales
        self.zeros = zeros
        self.known: tuple[list[float], list[float]] | None = None

    def read(self, offset: int, length: int) -> bytes:
        first, last = offset // 4, -(-(offset + length) // 4)
        data = b"".join(self._numbers(at, min(last, at + CHUNK)) for at in range(first, last, CHUNK))
        return data[offset - 4 * first :][:length]

    def _numbers(self, first: int, last: int) -> bytes:
        kind = DTYPES[self.dtype]
        data = self.source.read(self.offset + first * kind.size, (last - first) * kind.size)
        scales, zeros = self._known()
        codes = [code for (code,) in struct.iter_unpack(f"<{kind.letter}", data)]
        out: Numbers[float] = Numbers("f")
        at = first
        while at < last:
            stop = min(last, (at // self.inner + 1) * self.inner)
            place = at // self.inner % len(scales)
            scale, zero = scales[place], zeros[place]
            out.extend((code - zero) * scale for code in codes[at - first : stop - first])
            at = stop
        return struct.pack(f"<{len(out)}f", *out)

    def _known(self) -> tuple[list[float], list[float]]:
        if self.known is None:
            scales = _flat(self.scales)
            zeros = _flat(self.zeros) if self.zeros is not None else [0.0] * len(scales)
            if not scales or len(zeros) not in (1, len(scales)):
                reason = f"{len(scales)} scales and {len(zeros)} zero points do not fit each other"
                raise FileError(self.path, reason)
            self.known = scales, zeros if len(zeros) == len(scales) else zeros * len(scales)
        return self.known


def _flat(storage: object) -> list[float]:
    values: Values = storage.read(())  # type: ignore[attr-defined]
    return list(values.flat())

"""An array that lies in a source as plain numbers, in any order of axes: any part of it by byte range."""

from __future__ import annotations

from math import prod

from ..arrays import DTYPES, Values
from ..axes import Key
from ..errors import FileError
from ._ranges import Hyperslab, blocks, gather, hyperslab, permute
from .source import Source

__all__ = ["Strided"]

BLOCK = 1 << 20
"""Longest single read of a strided key, in bytes."""
MOST = 32 << 20
"""An array that repeats its numbers may grow by this many bytes beyond what the file's size explains."""
GAP = 16 << 10
"""Runs at most this many bytes apart are read together: measured, that costs no more than a call for each."""


class Strided:
    """The numbers of one array in an open source; `read` fetches the bytes of a key and no others.

    offset    where its first number lies, in bytes
    strides   the distance between neighbours along each axis, in bytes; None: C order. 0 repeats the same numbers
    swapped   set it where the numbers are big-endian
    note      set it to what people should know of where its numbers lie

    (A column whose elements lie close together is read in blocks of up to 1 MiB, and the bytes between are dropped.)
    FileError where the source is too short for it.
    """

    __slots__ = ("_row", "_whole", "dtype", "name", "note", "offset", "shape", "source", "strides", "swapped")

    def __init__(
        self,
        source: Source,
        name: str,
        dtype: str,
        shape: tuple[int, ...],
        offset: int,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.offset = offset
        self.strides = strides
        self.swapped = False
        self.note = ""
        extent = self._extent()
        plain = strides is None and extent > 0 and len(shape) > 0
        self._row = extent // shape[0] if plain else 0
        self._whole = (slice(None),) * (len(shape) - 1) if plain else None
        last = offset + extent
        if offset < 0 or last > source.size:
            reason = f"its numbers end at byte {last}, the file has {source.size}"
            raise FileError(source.path, reason, array=name, hint="the file is damaged or cut short; download it again")

    def _extent(self) -> int:
        """Bytes from its first number to the end of its last one."""
        size = DTYPES[self.dtype].size if self.dtype in DTYPES else 0
        if not size or 0 in self.shape:
            return 0
        if self.strides is None:
            return prod(self.shape) * size
        return sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True)) + size

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`. AddressError for a key that does not fit, FileError if the file changed since."""
        source, shape = self.source, self.shape[1:]
        if key and key[1:] == self._whole and type(key[0]) is int and 0 <= key[0] < self.shape[0]:
            data = source.read(self.offset + key[0] * self._row, self._row)
        else:
            where = self.locate(key)
            shape = where.shape
            if where.levels:
                data = self._gathered(where)
            else:
                data = source.read(where.offset, where.run) if where.run else b""
        source.refuse_changed()
        if self.swapped:
            data = _swapped(data, self.dtype)
        return Values(self.dtype, shape, data)

    def locate(self, key: Key) -> Hyperslab:
        """Where in the source the bytes of `key` lie. FileError for an element type that cannot be read."""
        if self.dtype not in DTYPES:
            reason = f"element type {self.dtype} cannot be read: it is not one of the types that patchclamp knows"
            hint = "the other arrays of this file can be read"
            raise FileError(self.source.path, reason, place="header", array=self.name, hint=hint)
        return hyperslab(self.shape, DTYPES[self.dtype].size, key, self.offset, self.strides)

    def _gathered(self, where: Hyperslab) -> bytes:
        """The runs of a key one after the other. They are read in the file's order, then put into that of the key."""
        levels = where.levels
        order = sorted((i for i, level in enumerate(levels) if level[1]), key=lambda i: -levels[i][1])
        stored = tuple(levels[i] for i in order)
        if where.nbytes > 2 * self.source.size + MOST:
            reason = f"it repeats its numbers up to {where.nbytes:,} bytes, in a file of {self.source.size:,}"
            raise FileError(self.source.path, reason, array=self.name, hint="read a part of it")
        out = bytearray(where.run * prod(count for count, _ in stored))
        self._fill(memoryview(out), Hyperslab((), where.offset, where.run, stored))
        return bytes(out) if stored == levels else permute(out, where.run, levels, order)

    def _fill(self, out: memoryview, where: Hyperslab) -> None:
        done = 0
        for block in blocks(where, BLOCK, GAP):
            data = self.source.read(block.offset, block.length)
            if block.levels:
                wanted = where.run * prod(count for count, _ in block.levels)
                gather(out[done : done + wanted], data, where.run, block.levels)
            else:
                wanted = block.length
                out[done : done + wanted] = data
            done += wanted


def _swapped(data: bytes, dtype: str) -> bytes:
    """Big-endian numbers as little-endian ones; a complex number is two."""
    size = DTYPES[dtype].size // (2 if dtype.startswith("complex") else 1)
    out = bytearray(len(data))
    for place in range(size):
        out[place::size] = data[size - 1 - place :: size]
    return bytes(out)

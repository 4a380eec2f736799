"""An array that lies in a source as plain numbers, in any order of axes: any part of it by byte range."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ..arrays import DTYPES, Values
from ..axes import Key
from ..errors import FileError
from ._handle import FileHandle, read_each
from ._ranges import Hyperslab, blocks, gather, hyperslab, permute
from .source import Later, Source, Window

__all__ = ["Strided"]

BLOCK = 1 << 20
"""Longest single read of a strided key, in bytes."""
SEGMENT = 16 << 20
"""After so many bytes it is looked again whether the file is in memory."""
MANY = 512
"""How many reads the disk is told of at once."""
MOST = 32 << 20
"""An array that repeats its numbers may grow by this many bytes beyond what the file's size explains."""
GAP = 8 << 10
"""Runs at most this many bytes apart are read together: measured, that costs no more than a call for each."""
FAR = 40 << 10
"""The same where the file must come from the disk, which reads on faster than it seeks."""


class Strided:
    """The numbers of one array in an open source; `read` fetches the bytes of a key and no others.

    offset    where its first number lies, in bytes
    strides   the distance between neighbours along each axis, in bytes; None: C order. 0 repeats the same numbers
    swapped   set it where the numbers are big-endian
    note      set it to what people should know of where its numbers lie

    (A column whose elements lie close together is read in blocks of up to 1 MiB, and the bytes between are dropped.)
    FileError where the source is too short for it.
    """

    __slots__ = ("_inner", "_row", "_whole", "dtype", "name", "note", "offset", "shape", "source", "strides", "swapped")

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
        self._inner = shape[1:]
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
        source, shape, row = self.source, self._inner, self._row
        if row and key and key[1:] == self._whole and type(first := key[0]) is int and 0 <= first < self.shape[0]:
            data = source.read(self.offset + first * row, row)
        else:
            where = self.locate(key)
            shape = where.shape
            data = self._gathered(where) if where.levels else self._run(where)
        source.refuse_changed()
        if self.swapped:
            data = _swapped(data, self.dtype)
        return Values(self.dtype, shape, data)

    def _run(self, where: Hyperslab) -> bytes:
        return self.source.read(where.offset, where.run) if where.run else b""

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
        for part in _segments(where):
            handle, shift = _local(self.source)
            cached = handle is None or handle.cached(_last(part) + shift)
            gap = GAP if cached else FAR
            if len(part.levels) == 1 and part.levels[0][1] - part.run > gap and part.run <= BLOCK:
                done += self._each(out[done:], part, None if cached else handle, shift)
            else:
                done += self._blocks(out[done:], part, gap)

    def _each(self, out: memoryview, where: Hyperslab, handle: FileHandle | None, shift: int) -> int:
        """Runs that lie far apart, one read each; the disk is told of them before, where there is a handle to do so."""
        ((count, distance),) = where.levels
        offsets = range(where.offset, where.offset + count * distance, distance)
        done = 0
        for first in range(0, count, MANY):
            some = offsets[first : first + MANY]
            if handle is not None:
                handle.expect(range(some.start + shift, some.stop + shift, distance), where.run)
            data = read_each(self.source, some, where.run)
            out[done : done + len(data)] = data
            done += len(data)
        return done

    def _blocks(self, out: memoryview, where: Hyperslab, gap: int) -> int:
        done = 0
        for block in blocks(where, BLOCK, gap):
            data = self.source.read(block.offset, block.length)
            if block.levels:
                wanted = where.run * prod(count for count, _ in block.levels)
                gather(out[done : done + wanted], data, where.run, block.levels)
            else:
                wanted = block.length
                out[done : done + wanted] = data
            done += wanted
        return done


def _segments(where: Hyperslab) -> Iterator[Hyperslab]:
    """A pattern in parts of about 16 MiB of the file, each of which may be in memory already or not."""
    if not where.levels:
        yield where
        return
    (count, distance), rest = where.levels[0], where.levels[1:]
    most = max(1, SEGMENT // distance)
    for first in range(0, count, most):
        taken = min(most, count - first)
        again = ((taken, distance), *rest) if taken > 1 or not rest else rest
        yield Hyperslab((), where.offset + first * distance, where.run, again)


def _last(where: Hyperslab) -> int:
    """Where the last run lies."""
    return where.offset + sum((count - 1) * distance for count, distance in where.levels)


def _local(source: Source) -> tuple[FileHandle | None, int]:
    """The local file that a source is or is a part of, and where it begins there."""
    shift = 0
    while isinstance(source, (Window, Later)):
        source, begin = (source.found, 0) if isinstance(source, Later) else source.place
        shift += begin
    return (source, shift) if isinstance(source, FileHandle) else (None, 0)


def _swapped(data: bytes, dtype: str) -> bytes:
    """Big-endian numbers as little-endian ones; a complex number is two."""
    size = DTYPES[dtype].size // (2 if dtype.startswith("complex") else 1)
    out = bytearray(len(data))
    for place in range(size):
        out[place::size] = data[size - 1 - place :: size]
    return bytes(out)

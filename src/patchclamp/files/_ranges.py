"""From a key to byte ranges: pure arithmetic on a stored shape, and the strided copy between two buffers.

A key picks from a stored array a pattern of equal runs of bytes, repeated along a few levels:

    array[:, 3] of float32 [rows, 10]    run 4 bytes, one level: `rows` times, 40 bytes apart
    array[2:5]                           one run of 3 * 40 bytes, no level
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from math import gcd, prod
from typing import Literal

from ..axes import Key
from ..errors import AddressError
from ..frozen import dataclass

__all__ = ["Block", "Hyperslab", "Levels", "blocks", "gather", "hyperslab", "permute", "scatter"]

_WORDS: dict[int, Literal["Q", "I", "H", "B"]] = {8: "Q", 4: "I", 2: "H", 1: "B"}
Levels = tuple[tuple[int, int], ...]
"""Repetitions of a run, outermost first: (count, distance in bytes)."""


@dataclass(frozen=True, slots=True)
class Hyperslab:
    """Where the bytes of a key lie: runs of `run` bytes from `offset` on, repeated by `levels`.

    `shape` is that of the result: one extent for each slice of the key, and the axes after it.
    """

    shape: tuple[int, ...]
    offset: int
    run: int
    levels: Levels

    @property
    def nbytes(self) -> int:
        return self.run * prod(count for count, _ in self.levels)


@dataclass(frozen=True, slots=True)
class Block:
    """One read of `length` bytes at `offset`; the wanted runs in it are repeated by `levels` (none: all of it)."""

    offset: int
    length: int
    levels: Levels


def hyperslab(
    shape: tuple[int, ...], itemsize: int, key: Key, begin: int = 0, strides: tuple[int, ...] | None = None
) -> Hyperslab:
    """The hyperslab of `key` in an array of stored `shape` that begins at byte `begin`, in the longest runs.

    `strides` are the distances of neighbours along each axis in bytes; None is C order.
    Raises AddressError for a key that is too long, out of range or negative.

    >>> hyperslab((6, 10), 4, (slice(None), 3))
    Hyperslab(shape=(6,), offset=12, run=4, levels=((6, 40),))
    >>> hyperslab((6, 10), 4, (slice(2, 5),))
    Hyperslab(shape=(3, 10), offset=80, run=120, levels=())
    >>> hyperslab((6, 10), 4, (slice(None), 3), 100, (4, 24))
    Hyperslab(shape=(6,), offset=172, run=24, levels=())
    """
    if len(key) > len(shape):
        raise AddressError(f"the key has {len(key)} parts, the array has {len(shape)} axes: {list(shape)[:8]}")
    parts = (*key, *(slice(None),) * (len(shape) - len(key)))
    steps = [_steps(part, extent, axis) for axis, (part, extent) in enumerate(zip(parts, shape, strict=True))]
    result = tuple(len(step) for part, step in zip(parts, steps, strict=True) if isinstance(part, slice))
    if 0 in result:
        return Hyperslab(result, 0, 0, ())
    offset, run = begin, itemsize
    levels: list[tuple[int, int]] = []  # innermost first
    for step, stride in zip(reversed(steps), reversed(strides or c_strides(shape, itemsize)), strict=True):
        offset += step.start * stride
        distance = step.step * stride
        if len(step) == 1:
            continue
        if not levels and distance == run:
            run *= len(step)
        elif levels and distance == levels[-1][0] * levels[-1][1]:
            levels[-1] = (levels[-1][0] * len(step), levels[-1][1])
        else:
            levels.append((len(step), distance))
    return Hyperslab(result, offset, run, tuple(reversed(levels)))


def c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The distances of neighbours along each axis, in bytes, of an array in C order."""
    strides = []
    for extent in reversed(shape):
        strides.append(itemsize)
        itemsize *= extent
    return tuple(reversed(strides))


def _steps(part: int | slice, extent: int, axis: int) -> range:
    """The indices that one part of a key takes on an axis of length `extent`."""
    if isinstance(part, slice):
        given = [(part.start, 0), (part.stop, 0), (part.step, 1)]
        if not all(number is None or (isinstance(number, int) and number >= least) for number, least in given):
            raise AddressError(f"the key has {part} on axis {axis}: bounds are ints from 0 up, the step from 1 up")
        return range(*part.indices(extent))
    if isinstance(part, bool) or not hasattr(part, "__index__"):
        raise AddressError(f"the key has {part!r} on axis {axis}: only ints and slices are keys")
    index = operator.index(part)
    if not 0 <= index < extent:
        legal = f"0 to {extent - 1}" if extent else "none, the axis is empty"
        raise AddressError(f"index {index} is out of range on axis {axis} of length {extent}", f"legal: {legal}")
    return range(index, index + 1)


def blocks(where: Hyperslab, limit: int, gap: int) -> Iterator[Block]:
    """The reads that cover a hyperslab, in the order of the result; none is longer than `limit` bytes.

    Runs at most `gap` bytes apart are read together (and the bytes between them thrown away), others one by one.

    >>> list(blocks(hyperslab((3, 1000), 4, (slice(None), 5)), limit=1 << 20, gap=100))
    [Block(offset=20, length=4, levels=()), Block(offset=4020, length=4, levels=()), Block(offset=8020, length=4, levels=())]
    >>> list(blocks(hyperslab((3, 1000), 4, (slice(None), 5)), limit=1 << 20, gap=4000))
    [Block(offset=20, length=8004, levels=((3, 4000),))]
    """  # noqa: E501
    if where.run:
        yield from _split(where.offset, where.run, where.levels, limit, gap)


def _split(offset: int, run: int, levels: Levels, limit: int, gap: int) -> Iterator[Block]:
    if not levels:
        for start in range(0, run, limit):
            yield Block(offset + start, min(limit, run - start), ())
        return
    (count, distance), rest = levels[0], levels[1:]
    inner = _span(run, rest)
    if inner <= limit and _near(run, levels, gap):
        most = (limit - inner) // distance + 1
        for first in range(0, count, most):
            taken = min(most, count - first)
            again = ((taken, distance), *rest) if taken > 1 else rest
            yield Block(offset + first * distance, inner + (taken - 1) * distance, again)
    elif not rest and run <= limit:
        for start in range(offset, offset + count * distance, distance):
            yield Block(start, run, ())
    else:
        for start in range(offset, offset + count * distance, distance):
            yield from _split(start, run, rest, limit, gap)


def _span(run: int, levels: Levels) -> int:
    """Bytes from the first to the last byte of the runs."""
    return run + sum((count - 1) * distance for count, distance in levels)


def _near(run: int, levels: Levels, gap: int) -> bool:
    """Whether no two neighbouring runs lie further than `gap` bytes apart."""
    return all(levels[i][1] - _span(run, levels[i + 1 :]) <= gap for i in range(len(levels)))


def gather(target: memoryview, source: bytes | bytearray, run: int, levels: Levels) -> None:
    """Copy the runs of a block (`source`, from its first run on) to `target`, one after the other.

    >>> out = bytearray(3)
    >>> gather(memoryview(out), b"a..b..c", 1, ((3, 3),))
    >>> out
    bytearray(b'abc')
    """
    _copy(target, _packed(run, levels), memoryview(source), levels, run)


def scatter(target: bytearray, source: memoryview, run: int, levels: Levels) -> None:
    """The inverse of `gather`: lay the consecutive runs of `source` into the block `target`.

    >>> block = bytearray(b"a..b..c")
    >>> scatter(block, memoryview(b"ABC"), 1, ((3, 3),))
    >>> block
    bytearray(b'A..B..C')
    """
    _copy(memoryview(target), levels, source, _packed(run, levels), run)


def permute(data: bytes | bytearray, run: int, wanted: Levels, order: Sequence[int]) -> bytes:
    """Runs that lie one after the other with the levels `order` of `wanted`, in the order of `wanted` instead.

    A level that `order` leaves out repeats the same runs.

    >>> permute(b"abcdef", 1, ((2, 4), (3, 8)), (1, 0))
    b'acebdf'
    """
    packed = dict(zip(order, _packed(run, tuple(wanted[i] for i in order)), strict=True))
    source = tuple((count, packed[i][1] if i in packed else 0) for i, (count, _) in enumerate(wanted))
    out = bytearray(run * prod(count for count, _ in wanted))
    _copy(memoryview(out), _packed(run, wanted), memoryview(data), source, run)
    return bytes(out)


def _packed(run: int, levels: Levels) -> Levels:
    """The same repetitions with nothing between the runs."""
    packed: list[tuple[int, int]] = []
    for count, _ in reversed(levels):
        packed.append((count, run))
        run *= count
    return tuple(reversed(packed))


def _copy(target: memoryview, to: Levels, source: memoryview, out_of: Levels, run: int) -> None:
    """Copy in words of 8, 4, 2 or 1 bytes; the longest dimension is one strided copy, Python loops over the others."""
    word = gcd(8, run, *(distance for _, distance in (*to, *out_of)))
    target, source = target.cast(_WORDS[word]), source.cast(_WORDS[word])
    dims = [(n, a // word, b // word) for (n, a), (_, b) in zip(to, out_of, strict=True)] + [(run // word, 1, 1)]
    count, into, step = dims.pop(max(range(len(dims)), key=lambda i: dims[i][0]))
    for at in product(*(range(n) for n, _, _ in dims)):
        t = sum(i * a for i, (_, a, _) in zip(at, dims, strict=True))
        s = sum(i * b for i, (_, _, b) in zip(at, dims, strict=True))
        if step:
            target[t : t + (count - 1) * into + 1 : into] = source[s : s + (count - 1) * step + 1 : step]
        else:
            again = memoryview(bytes(source[s : s + 1]) * count).cast(_WORDS[word])
            target[t : t + (count - 1) * into + 1 : into] = again

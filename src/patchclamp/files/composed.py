"""Arrays put together from others without reading them: joined, cut, turned, reshaped; a key reads the parts it needs.

A file may hold one by one what the live network holds as one array: the experts of a layer, the parts of a projection.
What stands between them is said as a chain of these storages, and undone for the key that is read, never for the whole.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any, Protocol

from ..arrays import DTYPES, Values
from ..axes import Key
from ..errors import AddressError
from ._ranges import permute

__all__ = ["Placed", "joined", "placed", "reshaped", "stacked", "turned", "viewed"]

Pick = int | range
"""What a key takes on one axis: a place, or several."""


class Placed(Protocol):
    """A storage that knows its shape and element type."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> str: ...

    @property
    def note(self) -> str: ...

    def read(self, key: Key = ()) -> Values: ...


class _Whole:
    """An array's own storage, with the shape and type that the array has."""

    __slots__ = ("dtype", "shape", "storage")

    def __init__(self, storage: Any, dtype: str, shape: tuple[int, ...]) -> None:
        self.storage = storage
        self.dtype = dtype
        self.shape = shape

    @property
    def note(self) -> str:
        return str(getattr(self.storage, "note", ""))

    def read(self, key: Key = ()) -> Values:
        found: Values = self.storage.read(key)
        return found


def placed(storage: Any, dtype: str, shape: tuple[int, ...]) -> Placed:
    """A storage as the others here take it."""
    return _Whole(storage, dtype, shape)


def joined(parts: Sequence[Placed], axis: int) -> Placed:
    """Arrays one after the other along an axis. ValueError if they do not fit."""
    return parts[0] if len(parts) == 1 else _Joined(parts, axis)


def stacked(parts: Sequence[Placed], axis: int) -> Placed:
    """Arrays of one shape as one with a new axis."""
    widened = [viewed(part, _widened(part.shape, axis), ()) for part in parts]
    return joined(widened, axis)


def turned(part: Placed, order: Sequence[int]) -> Placed:
    """The same with its axes in another order."""
    return viewed(part, [(axis, range(part.shape[axis])) for axis in order], ())


def viewed(part: Placed, axes: Sequence[tuple[int, range]], fixed: Sequence[tuple[int, int]]) -> Placed:
    """A part of an array, in any order of axes.

    `axes` gives each axis of the result the one that it was (-1: a new one, of length 1) and the places on it; `fixed`
    the place on each axis that the result lacks.
    """
    plain = [(axis, range(size)) for axis, size in enumerate(part.shape)]
    return part if list(axes) == plain and not fixed else _Viewed(part, axes, fixed)


def reshaped(part: Placed, shape: tuple[int, ...]) -> Placed:
    """The same numbers in C order under another shape. ValueError where the counts differ."""
    if prod(shape) != prod(part.shape):
        raise ValueError(f"{part.shape} has other numbers than {shape}")
    return part if shape == part.shape else _Reshaped(part, shape)


def _widened(shape: tuple[int, ...], axis: int) -> list[tuple[int, range]]:
    kept = [(place, range(size)) for place, size in enumerate(shape)]
    return [*kept[:axis], (-1, range(1)), *kept[axis:]]


def _picks(shape: tuple[int, ...], key: Key) -> list[Pick]:
    """What a key takes on every axis. AddressError for one that does not fit, as for any stored array."""
    if len(key) > len(shape):
        raise AddressError(f"the key has {len(key)} parts, the array has {len(shape)} axes: {list(shape)[:8]}")
    found: list[Pick] = []
    for axis, size in enumerate(shape):
        part = key[axis] if axis < len(key) else slice(None)
        if isinstance(part, slice):
            found.append(range(*part.indices(size)))
            continue
        index = operator.index(part)
        if not 0 <= index < size:
            legal = f"0 to {size - 1}" if size else "none, the axis is empty"
            raise AddressError(f"index {index} is out of range on axis {axis} of length {size}", f"legal: {legal}")
        found.append(index)
    return found


def _shape(picks: Sequence[Pick]) -> tuple[int, ...]:
    return tuple(len(pick) for pick in picks if isinstance(pick, range))


def _part(pick: Pick) -> int | slice:
    """A pick as a part of a key."""
    return slice(pick.start, max(pick.stop, pick.start), pick.step) if isinstance(pick, range) else pick


class _Made:
    """What the storages here have in common."""

    __slots__ = ("dtype", "note", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: str, note: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.note = note

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`; AddressError for a key that does not fit, FileError for what the file does not give."""
        picks = _picks(self.shape, key)
        shape = _shape(picks)
        return Values(self.dtype, shape, self._data(picks) if 0 not in shape else b"")

    def _data(self, picks: list[Pick]) -> bytes:
        raise NotImplementedError


class _Joined(_Made):
    __slots__ = ("_axis", "_parts", "_starts")

    def __init__(self, parts: Sequence[Placed], axis: int) -> None:
        first = parts[0]
        cut = [(part.shape[:axis], part.shape[axis + 1 :], part.dtype) for part in parts]
        if any(one != cut[0] for one in cut):
            raise ValueError(f"parts of shapes {[part.shape for part in parts][:4]} do not fit along axis {axis}")
        starts = [0]
        for part in parts:
            starts.append(starts[-1] + part.shape[axis])
        shape = (*first.shape[:axis], starts[-1], *first.shape[axis + 1 :])
        super().__init__(shape, first.dtype, f"{len(parts)} arrays in the file, one after the other")
        self._parts = tuple(parts)
        self._axis = axis
        self._starts = tuple(starts)

    def _data(self, picks: list[Pick]) -> bytes:
        axis, pick = self._axis, picks[self._axis]
        pieces = []
        for number, part in enumerate(self._parts):
            inner = _inside(pick, self._starts[number], self._starts[number + 1])
            if inner is not None:
                key = tuple(map(_part, (*picks[:axis], inner, *picks[axis + 1 :])))
                pieces.append(part.read(key).data)
        outer = prod(_shape(picks[:axis]))
        return pieces[0] if len(pieces) == 1 else _woven(pieces, outer)


def _inside(pick: Pick, start: int, stop: int) -> Pick | None:
    """What a pick takes between two places, counted from the first; None if nothing."""
    if isinstance(pick, int):
        return pick - start if start <= pick < stop else None
    first = pick.start if pick.start >= start else start + (pick.start - start) % pick.step
    last = min(stop, pick.stop)
    return range(first - start, last - start, pick.step) if first < last else None


def _woven(pieces: Sequence[bytes], outer: int) -> bytes:
    """Pieces that each hold `outer` runs: the first run of each, then the second of each, and so on."""
    if outer == 1:
        return b"".join(pieces)
    runs = [len(piece) // outer for piece in pieces]
    return b"".join(
        piece[turn * run : (turn + 1) * run] for turn in range(outer) for piece, run in zip(pieces, runs, strict=True)
    )


class _Viewed(_Made):
    __slots__ = ("_axes", "_base", "_fixed")

    def __init__(self, base: Placed, axes: Sequence[tuple[int, range]], fixed: Sequence[tuple[int, int]]) -> None:
        super().__init__(tuple(len(places) for _, places in axes), base.dtype, base.note)
        self._base = base
        self._axes = tuple(axes)
        self._fixed = tuple(fixed)

    def _data(self, picks: list[Pick]) -> bytes:
        taken: dict[int, Pick] = dict(self._fixed)
        kept: list[tuple[int, int]] = []  # the axis of the base and how many places, in the order of the result
        for (axis, places), pick in zip(self._axes, picks, strict=True):
            if axis >= 0:
                taken[axis] = places[pick.start : pick.stop : pick.step] if isinstance(pick, range) else places[pick]
            if axis >= 0 and isinstance(pick, range):
                kept.append((axis, len(pick)))
        key = tuple(_part(taken[axis]) for axis in range(len(self._base.shape)))
        data = self._base.read(key).data
        order = sorted(range(len(kept)), key=lambda place: kept[place][0])
        if order == list(range(len(kept))):
            return data
        return permute(data, DTYPES[self.dtype].size, tuple((count, 0) for _, count in kept), order)


class _Reshaped(_Made):
    __slots__ = ("_base", "_groups")

    def __init__(self, base: Placed, shape: tuple[int, ...]) -> None:
        super().__init__(shape, base.dtype, base.note)
        self._base = base
        self._groups = tuple(_groups(base.shape, shape)) if 0 not in shape else ()

    def _data(self, picks: list[Pick]) -> bytes:
        size = DTYPES[self.dtype].size
        cut = [_cut(self._base.shape[b0:b1], self.shape[n0:n1], picks[n0:n1]) for (b0, b1), (n0, n1) in self._groups]
        if all(len(pieces) == 1 for pieces in cut):
            return self._base.read(tuple(part for pieces in cut for part in pieces[0][1])).data
        totals = [sum(count for count, _ in pieces) for pieces in cut]
        out = bytearray(prod(totals) * size)
        for combined in product(*map(_begun, cut)):
            data = self._base.read(tuple(part for _, _, parts in combined for part in parts)).data
            _lay(out, totals, [(begin, count) for begin, count, _ in combined], data, size)
        return bytes(out)


Piece = tuple[int, tuple[int | slice, ...]]
"""How many numbers a piece of a group of axes has, and the parts of the key that read it."""


def _begun(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, tuple[int | slice, ...]]]:
    begin = 0
    for count, parts in pieces:
        yield begin, count, parts
        begin += count


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The smallest groups of neighbouring axes, from and to, that hold as many numbers in both shapes."""
    i = j = 0
    while i < len(old) or j < len(new):
        first, mine, theirs = (i, j), 1, 1
        while mine != theirs or (i, j) == first:
            if (mine <= theirs and i < len(old)) or j == len(new):
                mine, i = mine * old[i], i + 1
            else:
                theirs, j = theirs * new[j], j + 1
        while i < len(old) and old[i] == 1:
            i += 1
        while j < len(new) and new[j] == 1:
            j += 1
        yield (first[0], i), (first[1], j)


def _cut(old: tuple[int, ...], new: tuple[int, ...], picks: Sequence[Pick]) -> list[Piece]:
    """The pieces of a group of stored axes that the picks on the axes that it became take, in order."""
    if old == new:
        return [(prod(_shape(picks)), tuple(map(_part, picks)))]
    spans = [range(pick, pick + 1) if isinstance(pick, int) else pick for pick in picks]
    if all(len(span) == size for span, size in zip(spans, new, strict=True)):
        return [(prod(old), (slice(None),) * len(old))]
    last = old[-1] if old else 1
    pieces: list[Piece] = []
    for begin, step, count in _runs(new, spans):
        done = 0
        while done < count:
            lead, place = divmod(begin + done * step, last)
            here = min(count - done, -(-(last - place) // step))
            pieces.append((here, (*_unravelled(lead, old[:-1]), slice(place, place + (here - 1) * step + 1, step))))
            done += here
    return pieces


def _runs(shape: tuple[int, ...], spans: Sequence[range]) -> Iterator[tuple[int, int, int]]:
    """The chosen numbers as runs of evenly spaced places in C order: begin, step, count; as long as they can be."""
    inner, axis = 1, len(shape)
    while axis and len(spans[axis - 1]) == shape[axis - 1]:
        axis -= 1
        inner *= shape[axis]
    if axis == 0:
        yield 0, 1, inner
        return
    strides = [prod(shape[place + 1 :]) for place in range(len(shape))]
    span = spans[axis - 1]
    for lead in product(*spans[: axis - 1]):
        begin = sum(index * stride for index, stride in zip(lead, strides, strict=False))
        if inner == 1:
            yield begin + span.start * strides[axis - 1], span.step * strides[axis - 1], len(span)
        elif span.step == 1:
            yield begin + span.start * inner, 1, len(span) * inner
        else:
            for index in span:
                yield begin + index * inner, 1, inner


def _unravelled(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    found: list[int] = []
    for size in reversed(shape):
        number, place = divmod(number, size)
        found.append(place)
    return tuple(reversed(found))


def _lay(out: bytearray, totals: Sequence[int], spans: Sequence[tuple[int, int]], data: bytes, size: int) -> None:
    """Lay a block into a larger one: `spans` gives its begin and count along each of the axes with `totals`."""
    strides = [prod(totals[place + 1 :]) * size for place in range(len(totals))]
    whole = len(totals)
    while whole and spans[whole - 1] == (0, totals[whole - 1]):
        whole -= 1
    axis = max(whole - 1, 0)
    run = prod(count for _, count in spans[axis:]) * size
    done = 0
    for lead in product(*(range(begin, begin + count) for begin, count in spans[:axis])):
        at = sum(index * stride for index, stride in zip(lead, strides, strict=False)) + spans[axis][0] * strides[axis]
        out[at : at + run] = data[done : done + run]
        done += run

"""What the converter to GGUF did to an array, undone at the key that is read: rows put in another order, axes turned,
arrays split or stacked, one added. Each is a storage over another; a neuron that was one row still costs one row.

Every number that comes out is one of the file, except where `note` says that it is computed.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Sequence
from math import prod
from operator import index
from typing import Protocol

from ...arrays import DTYPES, Values
from ...axes import Key
from .._ranges import hyperslab, permute

__all__ = ["Computed", "Joined", "Laid", "Reordered", "Turned", "Widened", "log_negated", "minus_one"]

DENSE = 4
"""Where at least one in so many rows is wanted, the rows between are read too."""


class Laid(Protocol):
    """A storage of an array with a shape."""

    shape: tuple[int, ...]
    dtype: str
    note: str

    def read(self, key: Key = ()) -> Values: ...


def _parts(shape: Sequence[int], key: Key) -> list[int | slice]:
    """A part of the key for every axis. AddressError where the key does not fit."""
    hyperslab(tuple(shape), 1, key)
    parts = [part if isinstance(part, slice) else index(part) for part in key]
    return [*parts, *(slice(None),) * (len(shape) - len(key))]


def _taken(part: int | slice, size: int) -> range:
    return range(*part.indices(size)) if isinstance(part, slice) else range(part, part + 1)


def _along(steps: range) -> slice:
    """The slice that takes the indices of a range that is not empty."""
    return slice(steps[0], steps[-1] + 1, steps.step)


def _said(storage: Laid, note: str) -> str:
    return f"{storage.note}; {note}" if storage.note else note


class Reordered:
    """An array with the coordinates of one axis in another order: `place(i)` is where coordinate `i` is stored."""

    __slots__ = ("_axis", "_place", "_storage", "dtype", "note", "shape")

    def __init__(self, storage: Laid, place: Callable[[int], int], note: str, axis: int = 0) -> None:
        self._storage = storage
        self._place = place
        self._axis = axis
        self.shape = storage.shape
        self.dtype = storage.dtype
        self.note = _said(storage, note)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`."""
        parts = _parts(self.shape, key)
        part = parts[self._axis]
        if isinstance(part, int):
            return self._at(parts, self._place(part))
        places = [self._place(i) for i in _taken(part, self.shape[self._axis])]
        if not places:
            return self._storage.read(tuple(parts))
        low, high = min(places), max(places) + 1
        if self._axis == 0 and (high - low) > DENSE * len(places):
            rows = [self._at(parts, place) for place in places]
            return Values(self.dtype, (len(places), *rows[0].shape), b"".join(row.data for row in rows))
        held = self._at(parts, slice(low, high))
        return self._picked(held, [place - low for place in places], parts)

    def _at(self, parts: list[int | slice], part: int | slice) -> Values:
        return self._storage.read(tuple(part if axis == self._axis else p for axis, p in enumerate(parts)))

    def _picked(self, held: Values, places: list[int], parts: list[int | slice]) -> Values:
        before = sum(isinstance(part, slice) for part in parts[: self._axis])
        shape = (*held.shape[:before], len(places), *held.shape[before + 1 :])
        run = prod(held.shape[before + 1 :]) * DTYPES[self.dtype].size
        whole = run * held.shape[before]
        data = held.data
        picked = (
            data[at + place * run : at + place * run + run]
            for at in range(0, len(data), whole or 1)
            for place in places
        )
        return Values(self.dtype, shape, b"".join(picked))


class Turned:
    """An array with its last two axes exchanged."""

    __slots__ = ("_storage", "dtype", "note", "shape")

    def __init__(self, storage: Laid, note: str) -> None:
        self._storage = storage
        *lead, rows, columns = storage.shape
        self.shape = (*lead, columns, rows)
        self.dtype = storage.dtype
        self.note = _said(storage, note)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`."""
        *lead, one, other = _parts(self.shape, key)
        held = self._storage.read((*lead, other, one))
        if not (isinstance(one, slice) and isinstance(other, slice)):
            return held
        *outer, rows, columns = held.shape
        shape = (*outer, columns, rows)
        size = DTYPES[self.dtype].size
        if not prod(shape):
            return Values(self.dtype, shape, b"")
        wanted = ((prod(outer), 0), (columns, 0), (rows, 0))
        return Values(self.dtype, shape, permute(held.data, size, wanted, (0, 2, 1)))


class Widened:
    """An array with one more axis of length 1."""

    __slots__ = ("_axis", "_storage", "dtype", "note", "shape")

    def __init__(self, storage: Laid, axis: int, note: str) -> None:
        self._storage = storage
        self._axis = axis
        self.shape = (*storage.shape[:axis], 1, *storage.shape[axis:])
        self.dtype = storage.dtype
        self.note = _said(storage, note)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`."""
        parts = _parts(self.shape, key)
        shape = hyperslab(self.shape, 1, key).shape
        if not prod(shape):
            return Values(self.dtype, shape, b"")
        return Values(self.dtype, shape, self._storage.read((*parts[: self._axis], *parts[self._axis + 1 :])).data)


class Joined:
    """Arrays of one shape as one: laid after each other along an axis, or their coordinates in turn (`mixed`)."""

    __slots__ = ("_axis", "_mixed", "_storages", "dtype", "note", "shape")

    def __init__(self, storages: Sequence[Laid], axis: int, note: str, mixed: bool = False) -> None:
        first = storages[0]
        self._storages = tuple(storages)
        self._axis = axis
        self._mixed = mixed
        self.shape = (*first.shape[:axis], first.shape[axis] * len(storages), *first.shape[axis + 1 :])
        self.dtype = first.dtype
        self.note = _said(first, note)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`, from the arrays that hold some of them."""
        parts = _parts(self.shape, key)
        part = parts[self._axis]
        if isinstance(part, int):
            number, inner = self._where(part)
            return self._storages[number].read(self._at(parts, inner))
        shape = hyperslab(self.shape, 1, key).shape
        taken = _taken(part, self.shape[self._axis])
        if not prod(shape):
            return Values(self.dtype, shape, b"")
        before = sum(isinstance(p, slice) for p in parts[: self._axis])
        run = prod(shape[before + 1 :]) * DTYPES[self.dtype].size
        out = bytearray(prod(shape[:before]) * len(taken) * run)
        for number, storage in enumerate(self._storages):
            mine = [(place, inner) for place, i in enumerate(taken) for n, inner in (self._where(i),) if n == number]
            if mine:
                self._lay(out, storage.read(self._at(parts, _stepped([inner for _, inner in mine]))), mine, run)
        return Values(self.dtype, shape, bytes(out))

    def _where(self, index: int) -> tuple[int, int]:
        """Which array holds a coordinate, and at which of its own."""
        if self._mixed:
            return index % len(self._storages), index // len(self._storages)
        return divmod(index, self._storages[0].shape[self._axis])

    def _at(self, parts: list[int | slice], part: int | slice) -> Key:
        return tuple(part if axis == self._axis else p for axis, p in enumerate(parts))

    def _lay(self, out: bytearray, held: Values, mine: Sequence[tuple[int, int]], run: int) -> None:
        """Put what one array gave at its places, once for every index of the axes before."""
        size = run * len(mine)
        rows = len(held.data) // size
        whole = len(out) // rows
        for row in range(rows):
            for number, (place, _) in enumerate(mine):
                to, at = row * whole + place * run, row * size + number * run
                out[to : to + run] = held.data[at : at + run]


def _stepped(indices: list[int]) -> slice:
    """The slice that takes some indices, which are equally far apart."""
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    return _along(range(indices[0], indices[-1] + 1, step))


class Computed:
    """Each number a function of the stored one, rounded to float32."""

    __slots__ = ("_function", "_storage", "dtype", "note", "shape")

    def __init__(self, storage: Laid, function: Callable[[float], float], note: str) -> None:
        self._storage = storage
        self._function = function
        self.shape = storage.shape
        self.dtype = "float32"
        self.note = _said(storage, note)

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`."""
        held = self._storage.read(key)
        numbers = array("f", (self._function(value) for value in held.flat()))
        return Values(self.dtype, held.shape, struct.pack(f"<{len(numbers)}f", *numbers))


def minus_one(value: float) -> float:
    """What a norm holds whose file has one added to it."""
    return value - 1.0


def log_negated(value: float) -> float:
    """The logarithm of a number whose negative exponential the file has; NaN where there is none."""
    if value < 0:
        return math.log(-value)
    return -math.inf if value == 0 else math.nan

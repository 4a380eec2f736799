"""Which weights a tensor of a graph holds: an initializer, or what the graph makes of initializers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ...flow.cells import Cells, Reader
from ...flow.shadow import Ints
from ...flow.weights import Found, found_in, row_major

__all__ = ["Held", "Lies", "Weights"]

_NUMBER = 40
"""The number of an element: the number of its tensor << 40 | where it lies in it, row-major."""
_WITHIN = (1 << _NUMBER) - 1


class Lies(Protocol):
    """Where an array lies, as the file's reader says it."""

    @property
    def tensor(self) -> str: ...

    @property
    def body(self) -> str: ...

    @property
    def first(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def order(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Held:
    """Which elements of tensors of the file stand in an array: `base` + index x `steps`, or one by one, `each`."""

    shape: tuple[int, ...]
    base: int
    steps: tuple[int, ...]
    each: Ints | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def full(self) -> Ints:
        """The number of every element."""
        return self.along(range(len(self.shape)))

    def along(self, axes: Sequence[int], at: Mapping[int, int] | None = None) -> Ints:
        """The numbers along some axes, in that order, at 0 of the others or where `at` says."""
        fixed = at or {}
        if self.each is not None:
            picked = self.each.transpose([*axes, *(axis for axis in range(len(self.shape)) if axis not in axes)])
            rest = [fixed.get(axis, 0) for axis in range(len(self.shape)) if axis not in axes]
            key: Any = (..., *rest)
            return np.asarray(picked[key] if rest else picked)
        found = np.array(self.base + sum(self.steps[axis] * place for axis, place in fixed.items()), np.int64)
        for axis in axes:
            found = found[..., None] + np.arange(self.shape[axis]) * self.steps[axis]
        return found

    def turned(self, order: Sequence[int]) -> Held:
        each = None if self.each is None else self.each.transpose(order)
        shape, steps = (tuple(of[axis] for axis in order) for of in (self.shape, self.steps))
        return replace(self, shape=shape, steps=steps, each=each)

    def part(self, axis: int, start: int, count: int) -> Held:
        """Some of what lies along an axis."""
        key = (slice(None),) * axis + (slice(start, start + count),)
        shape = (*self.shape[:axis], count, *self.shape[axis + 1 :])
        each = None if self.each is None else self.each[key]
        return replace(self, shape=shape, base=self.base + start * self.steps[axis], each=each)

    def without(self, axis: int, place: int = 0) -> Held:
        """What lies at one place of an axis, which is gone."""
        one = self.part(axis, place, 1)
        shape, steps = (of[:axis] + of[axis + 1 :] for of in (one.shape, one.steps))
        return replace(one, shape=shape, steps=steps, each=None if one.each is None else one.each.squeeze(axis))

    def moved(self, do: Callable[[Any], Any]) -> Held:
        """What an operation that only moves elements makes of it."""
        return _listed(np.asarray(do(self.full())))


def _listed(each: Ints) -> Held:
    return Held(each.shape, 0, (0,) * each.ndim, each)


@dataclass(frozen=True)
class _Array:
    """An array of the network, and where in its tensor it lies."""

    path: str
    first: int
    shape: tuple[int, ...]
    order: tuple[int, ...] = ()

    def places(self, offsets: Ints) -> Ints:
        """Where in the array each number of the tensor lies; -1 of one outside."""
        count = math.prod(self.shape)
        inside = (offsets >= self.first) & (offsets < self.first + count)
        place = offsets - self.first
        if len(self.order) > 1:
            block = count // len(self.order)
            number = np.argsort(np.array(self.order))[np.where(inside, place, 0) // block]
            place = number * block + place % block
        return np.where(inside, place, -1)


class Weights:
    """The tensors of a file by the names that its graphs use, and the arrays of the network that lie in them."""

    def __init__(self, cells: Cells, windows: Mapping[str, Lies]) -> None:
        self.cells = cells
        self._arrays: dict[tuple[str, str], list[_Array]] = {}
        for path, one in windows.items():
            array = _Array(path, one.first, one.shape, one.order)
            self._arrays.setdefault((one.body, one.tensor), []).append(array)
        self._tensors: list[tuple[_Array, ...]] = []

    def tensor(self, name: str, body: str, shape: tuple[int, ...]) -> Held:
        """A tensor that the file holds, in the graph or the body with that label."""
        own = self._arrays.get((body, name)) or [_Array(name, 0, shape)]
        self._tensors.append(tuple(own))
        return Held(shape, (len(self._tensors) - 1) << _NUMBER, row_major(shape))

    def joined(self, parts: Iterable[Held], do: Callable[[list[Ints]], Any]) -> Held:
        return _listed(np.asarray(do([part.full() for part in parts])))

    def found(self, held: Held, out: Sequence[int], into: Sequence[int], batch: Sequence[int], layer: str) -> Found:
        """What the weights are: axes that give neurons, that are summed, and that do both; `layer` is what runs.

        Where arrays lie one behind the other along `out`, each reads for itself.
        """
        given = held.along([*batch, *out])
        labels = np.zeros(given.shape, np.int64)
        reads: list[tuple[Reader, Ints]] = []
        for array, places in self._of(given, layer):
            where = np.argwhere(places >= 0)[0]
            first = dict(zip(out, where[len(batch) :].tolist(), strict=True))
            read = array.places(held.along([*batch, *into], first) & _WITHIN)
            if (read < 0).any():
                continue
            found = found_in(self.cells, (array.path, array.shape), np.where(places >= 0, places, places.max()), read)
            labels = np.where(places >= 0, found.labels, labels)
            reads += found.reads
        return Found(labels, tuple(reads))

    def home(self, held: Held, axis: int, layer: str) -> tuple[str, int] | None:
        """The path of the array, and which of its axes an axis runs along, whole; None for a part or for several."""
        numbers = held.along([axis])
        for array, places in self._of(numbers, layer):
            for number, (size, step) in enumerate(zip(array.shape, row_major(array.shape), strict=True)):
                if size == len(places) and (np.diff(places) == step).all() and (places >= 0).all():
                    return array.path, number
        return None

    def paths(self, held: Held, layer: str) -> list[str]:
        """The arrays whose numbers these are, by the first of them."""
        first = held.along([0] if held.shape else [])
        return [array.path for array, _ in self._of(first, layer)]

    def _of(self, numbers: Ints, layer: str) -> list[tuple[_Array, Ints]]:
        """The arrays that elements lie in, each with where in it each element lies; of tied ones the layer's own."""
        found: list[tuple[_Array, Ints]] = []
        tensors = numbers >> _NUMBER
        for tensor in np.unique(tensors):
            offsets = np.where(tensors == tensor, numbers & _WITHIN, -1)
            for array in self._own(int(tensor), layer):
                places = array.places(offsets)
                if (places >= 0).any():
                    found.append((array, places))
        return found

    def _own(self, tensor: int, layer: str) -> Iterable[_Array]:
        chosen: dict[tuple[int, int], _Array] = {}
        for array in self._tensors[tensor]:
            key = (array.first, math.prod(array.shape))
            if key not in chosen or (layer and array.path.startswith(f"{layer}.")):
                chosen[key] = array
        return chosen.values()

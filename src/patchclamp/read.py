"""Which arrays a neuron has, and where in them its own numbers lie; nothing is read before it is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from .address import Span
from .axes import Key
from .frozen import dataclass
from .locate import address_of
from .model import Model, Neurons, Placed, Population

__all__ = ["Held", "address_text", "fan_in", "fan_ins", "held", "means", "meant"]

_NO_WEIGHTS = ("running_mean", "running_var", "moving_mean", "moving_variance", "beta", "q_scale", "q_zero_point")
"""What the words of arrays begin with that weigh nothing: statistics, shifts, the steps of quantised weights."""


@dataclass(frozen=True, slots=True)
class Held:
    """One array of one neuron: the word people use for it, the key of its part, and the axes which that part has."""

    word: str
    placed: Placed
    key: Key
    axes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        pairs = zip(self.key, self.placed.layout.shape, strict=True)
        return tuple(len(range(*index.indices(length))) for index, length in pairs if isinstance(index, slice))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        return self.placed.array.dtype

    def read(self) -> Any:
        """The numbers: a live network's own view, or a file's values."""
        return self.placed.array.read(self.key)

    def first(self, most: int) -> Any:
        """The first `most` entries along the first axis it has."""
        cut = next((i for i, index in enumerate(self.key) if isinstance(index, slice)), None)
        if cut is None:
            return self.read()
        start, stop, step = self.key[cut].indices(self.placed.layout.shape[cut])  # type: ignore[union-attr]
        key = (*self.key[:cut], slice(start, min(stop, start + most * step), step), *self.key[cut + 1 :])
        return self.placed.array.read(key)


def means(plain: str, name: str) -> bool:
    """Whether an array's name is that of a weight or bias by the word people use: `weight_ih`, `in_proj_weight`."""
    leaf = name.rpartition(".")[2]
    return plain in (name, *name.split("_"), *leaf.split("_")) or plain == _LETTERS.get(leaf)


_LETTERS = {"w": "weight", "b": "bias"}
"""What people call the arrays of layers that they write themselves."""


def _weighs_nothing(name: str) -> bool:
    return name.startswith(_NO_WEIGHTS) or name in ("mean", "var", "variance", "count")


def meant(plain: str, names: Sequence[str]) -> list[str]:
    """The arrays that a person means by `weight` or `bias`: those called so, else for `weight` all that is no bias.

    An array that has another name, `gate_up_proj` or `lambda1`, is the weight of its neuron all the same.
    """
    return list(_meant(plain, tuple(names)))


@lru_cache(maxsize=1024)
def _meant(plain: str, names: tuple[str, ...]) -> tuple[str, ...]:
    called = tuple(name for name in names if means(plain, name))
    if called or plain != "weight":
        return called
    return tuple(name for name in names if not means("bias", name) and not _weighs_nothing(name))


def held(neurons: Neurons, number: int) -> tuple[Held, ...]:
    """The arrays of one of these neurons, each under its word; a layer without bias has none."""
    coords = neurons.coords(number)
    found = []
    for word in neurons.population.words:
        placed = neurons.population.find(word, coords)
        if placed is not None:
            found.append(Held(word, placed, placed.layout.key(coords), placed.layout.remaining(coords)))
    return tuple(found)


def fan_in(cells: Population, number: int, fixed: Mapping[str, int]) -> int:
    """How many incoming weights a neuron has: the axes of its weight arrays that are not fixed. Biases do not count.

    What a head gives has none of its own: the arrays that it is read by belong to the projection.
    """
    if cells.side == "in":
        return 0
    own = {axis.name for axis in cells.axes} | set(fixed) | set(cells.fixed)
    total = 0
    for word in cells.words:
        if not means("bias", word) and not _weighs_nothing(word):
            placed = cells.find(word, {**cells.coords(number), **fixed})
            if placed is not None:
                total += math.prod(size for name, size in placed.layout.sizes.items() if name not in own)
    return total


def address_text(model: Model, neurons: Neurons) -> str:
    """The canonical address of a neuron, or of several as one selection."""
    if neurons.single:
        return model.addresses.text(address_of(neurons, neurons.numbers[0]))
    numbers, last = neurons.numbers, neurons.population.axes[-1].size if neurons.population.axes else 1
    led = bool(neurons.population.lead) and bool(numbers) and len({number // last for number in numbers}) == 1
    first = address_of(neurons, numbers[0] if led else 0, flat=not led)
    bare, _, after = model.addresses.text(first).rpartition("[")
    if led:
        numbers = _within(numbers, last)
    every = last if led else len(neurons.population)
    if len(numbers) == every and (numbers == range(every) or tuple(numbers) == tuple(range(every))):
        index = "*"
    elif isinstance(numbers, range) and numbers:
        index = str(Span(numbers.start, numbers.stop, None if numbers.step == 1 else numbers.step))
    else:
        index = ",".join(map(str, numbers))
    return f"{bare}[{index}{after[after.index(']') :]}"


def _within(numbers: Sequence[int], size: int) -> Sequence[int]:
    """Numbers in one head counted from its first."""
    start = numbers[0] // size * size
    if isinstance(numbers, range):
        return range(numbers.start - start, numbers.stop - start, numbers.step)
    return tuple(number - start for number in numbers)


def fan_ins(cells: Population, numbers: Sequence[int], fixed: Mapping[str, int]) -> tuple[int, ...]:
    """The different fan-ins among some neurons: in a stack, layers read different things."""
    if not any(axis.labels for axis in cells.axes):
        numbers = numbers[:1]
    rows = {number // cells.axes[-1].size: number for number in numbers}
    return tuple(sorted({fan_in(cells, number, fixed) for number in rows.values()}))

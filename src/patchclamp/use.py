"""A functional call that uses an array of a layer, and which of its rows are a neuron's.

Some layers hold a weight bare and use it by a call in their forward (`F.linear(x, self.weight)`); what the layer
returns is something else. A call may use all of an array, some rows of it, or the weights of one codebook; so where a
neuron stands in the call follows from where its weights begin in the array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from .axes import Key
from .frozen import dataclass
from .layout import Layout
from .model import Neurons, Placed

__all__ = ["Rows", "Use", "Where", "rows"]

Where: TypeAlias = tuple[str, int, tuple[int, ...], tuple[int, ...]]
"""Some of an array: its name from the layer on, then offset, lengths and strides in its elements, counted row-major."""


@dataclass(frozen=True)
class Use:
    """What a call was handed: weights (*batch, row, in), and the bias it adds (row,) if it is an array of the layer."""

    op: str
    weight: Where
    bias: Where | None = None


@dataclass(frozen=True)
class Rows:
    """Neurons that one call computes from one input: their numbers, their rows, and where on the call's batch axes.

    weight  the word of the array that was used
    bias    the word of the bias that the call adds; "" if it adds none
    """

    numbers: tuple[int, ...]
    rows: tuple[int, ...]
    batch: tuple[int, ...]
    weight: str
    bias: str


def rows(neurons: Neurons, use: Use) -> Iterator[Rows]:
    """The neurons that a call computes, those with one input together; nothing where it uses other weights."""
    found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    word = ""
    for number in neurons.numbers:
        placed = _find(neurons, number, use.weight[0])
        place = _row(use.weight, placed.layout, neurons.population.coords(number)) if placed else None
        if placed is not None and place is not None:
            word = placed.word
            found.setdefault(place[:-1], []).append((number, place[-1]))
    for batch, pairs in found.items():
        numbers, places = zip(*pairs, strict=True)
        yield Rows(numbers, places, batch, word, _bias(neurons, use, pairs[0]))


def _find(neurons: Neurons, number: int, array: str) -> Placed | None:
    coords, layer = neurons.population.coords(number), neurons.layer.name
    path = f"{layer}.{array}" if layer else array
    for placed in neurons.population.placed:
        here = all(coords.get(axis, at) == at for axis, at in placed.at.items())
        if placed.array.path == path and here:
            return placed
    return None


def _bias(neurons: Neurons, use: Use, pair: tuple[int, int]) -> str:
    """The word of the bias that the call adds to a neuron in a row."""
    if use.bias is None:
        return ""
    number, row = pair
    name, offset, lengths, strides = use.bias
    placed = _find(neurons, number, name)
    if placed is None or len(lengths) != 1:
        return ""
    start, inner = _span(placed.layout, neurons.population.coords(number))
    return placed.word if not inner and start == offset + row * strides[0] else ""


def _span(layout: Layout, coords: Mapping[str, int]) -> tuple[int, list[tuple[int, int]]]:
    """Where a coordinate's numbers begin in the array, and the (length, stride) of the axes that are left."""
    key: Key = layout.key(coords)
    inner: list[tuple[int, int]] = []
    start, stride = 0, 1
    for index, length in zip(reversed(key), reversed(layout.shape), strict=True):
        if isinstance(index, int):
            start += index * stride
        else:
            taken = range(*index.indices(length))
            start += taken.start * stride
            if len(taken) > 1:
                inner.insert(0, (len(taken), taken.step * stride))
        stride *= length
    return start, _merged(inner)


def _merged(inner: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Axes that lie one in the other without a gap, as one."""
    found: list[tuple[int, int]] = []
    for length, stride in inner:
        if found and found[-1][1] == length * stride:
            found[-1] = (found[-1][0] * length, stride)
        else:
            found.append((length, stride))
    return found


def _row(where: Where, layout: Layout, coords: Mapping[str, int]) -> tuple[int, ...] | None:
    """The indices (*batch, row) of the weights of a coordinate; None if the call does not use them."""
    _, offset, lengths, strides = where
    start, inner = _span(layout, coords)
    if inner not in ([(lengths[-1], strides[-1])], [] if lengths[-1] == 1 else None):
        return None
    left, place = start - offset, dict.fromkeys(range(len(lengths) - 1), 0)
    for axis in sorted(place, key=lambda axis: -strides[axis]):
        if strides[axis] and lengths[axis] > 1:
            place[axis] = max(min(left // strides[axis], lengths[axis] - 1), 0)
            left -= place[axis] * strides[axis]
    return tuple(place.values()) if left == 0 else None

"""Whose weights stand in an array: which neurons its elements are, and which slots of which reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cells import SHARED, Cells, Holding, Reader, coords_of
from .shadow import Ints

__all__ = ["Found", "found_in", "row_major"]


@dataclass(frozen=True)
class Found:
    """What a product reads and gives: labels over its (batch, out) letters, and for each reader the slots over
    (batch, in)."""

    labels: Ints
    reads: tuple[tuple[Reader, Ints], ...]


def found_in(
    cells: Cells, array: tuple[str, tuple[int, ...]], given: Ints, read: Ints, kernel: Ints | None = None
) -> Found:
    """What an array, by path and shape, is to a product.

    Of its elements, numbered row-major, `given` are those whose neurons the product gives, `read` those along the axes
    that it sums, and `kernel` those of one neuron and one slot, where these have several.
    """
    held = cells.holding(array[0])
    if held and not _turned(held, array[1], given, read):
        return _described(held, array[1], given, read)
    return _bare(cells, array, (given, read), np.zeros(1, np.int64) if kernel is None else kernel)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """How far apart two neighbours along each axis are, elements lying row-major."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _turned(held: Sequence[Holding], shape: tuple[int, ...], given: Ints, read: Ints) -> bool:
    """Whether a product reads along the neurons of a layer, as of a table or a weight that is tied to its transpose.

    What it gives are then neurons of no layer: they are known by the array alone.
    """
    for one in held:
        assert one.placed is not None and one.population is not None
        layout = one.placed.layout
        if layout.shape != shape:
            continue
        own = {axis.name for axis in one.population.axes} - set(SHARED)
        places = coords_of(layout, read)
        if any(name in own and places[name].min() != places[name].max() for name in places):
            return True
    return False


def _described(held: Sequence[Holding], shape: tuple[int, ...], given: Ints, read: Ints) -> Found:
    labels = np.zeros(given.shape, np.int64)
    reads = []
    for one in held:
        assert one.placed is not None
        layout = one.placed.layout
        own = one.labels(coords_of(layout, given)) if layout.shape == shape else np.zeros_like(given)
        own = np.where(labels > 0, 0, own)
        if own.any():
            labels = labels + own
            if one.reader is not None:
                reads.append((one.reader, one.slots(coords_of(layout, read))))
    return Found(labels, tuple(reads))


def _bare(cells: Cells, array: tuple[str, tuple[int, ...]], ends: tuple[Ints, Ints], kernel: Ints) -> Found:
    """Weights of a layer of unknown kind: their rows are numbered by the axes that are not summed."""
    path, shape = array
    given, read = ends
    layer, _, name = path.rpartition(".")
    out, into, inner = (_moving(elements, shape) for elements in (given, read, kernel))
    axes = [axis for axis in range(len(shape)) if axis not in inner]
    out_axes = [axis for axis in axes if axis in out or axis not in into]
    in_axes = [axis for axis in axes if axis in into or axis not in out]
    count = math.prod(shape[axis] for axis in out_axes)
    block = cells.add(layer, name, count, array=True)
    if block.count != count:  # the array is used in another way too
        block = cells.add(layer, f"{name}.axis{out_axes[0]}", count, array=True)
    reader = cells.reads(layer, name, path, tuple((f"axis{axis}", shape[axis]) for axis in in_axes))
    labels = block.start + _numbered(given, shape, out_axes)
    return Found(labels, ((reader, _numbered(read, shape, in_axes)),))


def _moving(offsets: Ints, shape: tuple[int, ...]) -> set[int]:
    """The axes of the array along which these elements differ."""
    places = np.unravel_index(offsets.ravel(), shape)
    return {axis for axis, place in enumerate(places) if (place != place[0]).any()}


def _numbered(offsets: Ints, shape: tuple[int, ...], axes: Sequence[int]) -> Ints:
    places = np.unravel_index(offsets, shape)
    found = np.zeros(offsets.shape, np.int64)
    for axis in axes:
        found = found * shape[axis] + places[axis]
    return found

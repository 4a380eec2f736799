"""Whose weights stand in an array: which neurons its elements are, and which slots of which reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .cells import Cells, Holding, Reader, coords_of
from .shadow import Ints

__all__ = ["Found", "found_in", "row_major"]


@dataclass(frozen=True)
class Found:
    """What a product reads and gives: labels over its (batch, out) letters, and for each reader the slots over
    (batch, in)."""

    labels: Ints
    reads: tuple[tuple[Reader, Ints], ...]


def found_in(cells: Cells, path: str, shape: tuple[int, ...], given: Ints, read: Ints) -> Found:
    """What the array at a path is to a product: `given` are the elements, numbered row-major in its `shape`, whose
    neurons the product gives, `read` those along the axes that it sums."""
    held = cells.holding(path)
    return _described(held, shape, given, read) if held else _bare(cells, (path, shape), given, read)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """How far apart two neighbours along each axis are, elements lying row-major."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


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


def _bare(cells: Cells, array: tuple[str, tuple[int, ...]], given: Ints, read: Ints) -> Found:
    """Weights of a layer of unknown kind: their rows are numbered by the axes that are not summed."""
    path, shape = array
    layer, _, name = path.rpartition(".")
    moving = [_moving(offsets, shape) for offsets in (given, read)]
    out_axes = [axis for axis in range(len(shape)) if axis in moving[0] or axis not in moving[1]]
    in_axes = [axis for axis in range(len(shape)) if axis in moving[1] or axis not in moving[0]]
    out_axes = [axis for axis in out_axes if axis not in moving[1] or axis in moving[0]]
    count = math.prod(shape[axis] for axis in out_axes)
    block = cells.add(layer, name, count, array=True)
    axes = tuple((f"axis{axis}", shape[axis]) for axis in in_axes)
    reader = cells.reads(layer, name, path, axes)
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

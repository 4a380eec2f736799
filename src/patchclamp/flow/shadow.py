"""The shadow of one array: which neurons stand behind each of its elements, by which path, with which gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LABEL", "SHIFT", "Floats", "Ints", "Shadow", "coded", "label_of", "layered", "tag_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SHIFT = 32
LABEL = (1 << SHIFT) - 1
"""A code is tag << SHIFT | label; 0 is nobody. In a mixture the label is the number of a group."""


@dataclass(frozen=True)
class Shadow:
    """Who stands behind each element of an array of some shape.

    codes   (plane, *shape): each plane one neuron an element; several planes where several neurons add up
    gains   (plane, *shape): change of the element per unit change of that neuron everywhere; None without numbers
    mixed   (*shape): the group of neurons that reach the element only through a mixture; None if none do
    """

    codes: Ints
    gains: Floats | None
    mixed: Ints | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape[1:]

    @property
    def empty(self) -> bool:
        return not self.codes.shape[0] and self.mixed is None

    def each(self, do: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Shadow:
        """The shadow after elements were moved: `do` is carried out on every plane as on the array itself."""
        codes = [np.asarray(do(plane)) for plane in self.codes]
        mixed = None if self.mixed is None else np.asarray(do(self.mixed))
        shape = codes[0].shape if codes else mixed.shape if mixed is not None else ()
        gains = None if self.gains is None else layered([np.asarray(do(plane)) for plane in self.gains], shape, float)
        return Shadow(layered(codes, shape, np.int64), gains, mixed)

    def spread(self, shape: tuple[int, ...]) -> Shadow:
        """The shadow of the array broadcast to a shape."""
        if shape == self.shape:
            return self
        planes = self.codes.shape[0]

        def wide(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
            lead = (a.shape[0], *(1,) * (len(shape) - a.ndim + 1), *a.shape[1:])
            return np.broadcast_to(a.reshape(lead), (planes, *shape))

        mixed = None if self.mixed is None else np.broadcast_to(self.mixed, shape)
        return Shadow(wide(self.codes), None if self.gains is None else wide(self.gains), mixed)

    def turned(self, order: Sequence[int]) -> Shadow:
        """The shadow with its axes in another order."""
        planes = (0, *(axis + 1 for axis in order))
        gains = None if self.gains is None else self.gains.transpose(planes)
        return Shadow(self.codes.transpose(planes), gains, None if self.mixed is None else self.mixed.transpose(order))

    def shaped(self, *shape: int) -> Shadow:
        """The shadow of the array in another shape, row-major; one length may be -1."""
        planes = self.codes.shape[0]
        if -1 in shape:
            given = math.prod(size for size in shape if size != -1)
            shape = tuple(math.prod(self.shape) // max(given, 1) if size == -1 else size for size in shape)
        gains = None if self.gains is None else self.gains.reshape(planes, *shape)
        mixed = None if self.mixed is None else self.mixed.reshape(shape)
        return Shadow(self.codes.reshape(planes, *shape), gains, mixed)


def layered(planes: Sequence[npt.NDArray[Any]], shape: tuple[int, ...], dtype: type) -> npt.NDArray[Any]:
    """Planes as one array, also where there are none."""
    return np.stack(planes).astype(dtype, copy=False) if planes else np.zeros((0, *shape), dtype)


def label_of(codes: Ints) -> Ints:
    return codes & LABEL


def tag_of(codes: Ints) -> Ints:
    return codes >> SHIFT


def coded(labels: Ints, tag: int = 0) -> Ints:
    """Codes of labels that have one tag; nobody stays nobody."""
    return np.where(labels > 0, labels | (tag << SHIFT), 0)

"""Where in an array of weights the slots lie that it reads: what is there, and which neurons read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..axes import Line, has_sum
from ..beside import numbers_of
from ..errors import KindError
from ..flow.cells import Reader, coords_of
from ..layout import Layout, fit
from ..model import AxisSize, Model, Population

__all__ = ["Floats", "Ints", "Place", "Weighed", "span_text", "spans"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Wanted = Mapping[str, Ints]
FEW = 4
"""How many slots are named."""


class Weighed:
    """Weights summed up neuron by neuron, or slot by slot: the square of what each has, the sum, and how many."""

    def __init__(self, size: int) -> None:
        self.square = np.zeros(size)
        self.total = np.zeros(size)
        self.count = np.zeros(size, np.int64)

    def add(self, where: Ints, values: npt.NDArray[Any]) -> None:
        places, flat = np.broadcast_to(where, values.shape).ravel(), values.ravel()
        size = len(self.square)
        self.square += np.bincount(places, np.abs(flat) ** 2, size)
        self.total += np.bincount(places, flat.real, size)
        self.count += np.bincount(places, minlength=size)
        if np.iscomplexobj(flat):
            self.total[:] = np.nan

    @property
    def norm(self) -> Floats:
        return np.asarray(np.sqrt(self.square))


class Place:
    """The array of one reader: which of its indices hold which neurons and which slots.

    Of an array of no known kind the stored axes that are not read along make its neurons; KindError where they do not.
    """

    def __init__(self, model: Model, reader: Reader, neurons: int) -> None:
        self.model = model
        self.reader = reader
        at: Mapping[str, int] = {}
        if reader.placed is None:
            self.array = model.arrays[reader.path]
            self.layout, self.cells = _bare(reader, self.array.shape)
        else:
            self.array, self.layout, at = reader.placed.array, reader.placed.layout, reader.placed.at
            self.cells = model.layers[reader.layer].populations[reader.population]
        if len(self.cells) != neurons:
            raise KindError(f"which neurons {reader.path} holds is not known", "register its kind: pc.register(...)")
        self.along = tuple(_along(self.layout, axis) for axis in range(len(self.layout.shape)))
        strides, stride = {}, 1
        for name, size in reversed(reader.axes):
            strides[name] = stride
            stride *= size
        self.strides = strides
        self.start = sum(self.cells.strides.get(axis, 0) * number for axis, number in at.items())

    def own(self, coords: Mapping[str, int]) -> range:
        """The slots that the neuron at a coordinate reads: of a filter those of its group."""
        start, size = 0, self.reader.slots
        for name, length in self.reader.axes:
            if name not in coords:
                break
            size //= max(length, 1)
            start += coords[name] * self.strides[name]
        return range(start, start + size)

    def cuts(self, slots: Ints) -> list[Wanted]:
        """Coordinates that together are these slots: one choice on each axis where they are a block."""
        sizes = [size for _, size in self.reader.axes]
        names = [name for name, _ in self.reader.axes]
        at = dict(zip(names, np.unravel_index(slots, sizes), strict=True))
        whole = {name: np.unique(places) for name, places in at.items()}
        if np.prod([len(places) for places in whole.values()]) == len(slots):
            return [whole]
        lead = slots // sizes[-1]
        return [{name: np.unique(places[lead == one]) for name, places in at.items()} for one in np.unique(lead)]

    def indices(self, wanted: Wanted) -> list[Ints]:
        """The indices on each stored axis that hold these coordinates."""
        found = []
        for coords, length in zip(self.along, self.layout.shape, strict=True):
            kept = np.ones(length, bool)
            for name, at in coords.items():
                if name in self.cells.fixed:
                    kept &= at == self.cells.fixed[name]
                elif name in wanted:
                    kept &= np.isin(at, wanted[name])
                elif name in self.cells.strides:
                    kept &= at >= 0
            found.append(np.flatnonzero(kept))
        return found

    def read(self, indices: Sequence[Ints]) -> Any:
        """What is stored there: the framework's own array, a view where the indices of each axis are a slice."""
        slices = [_slice(at, length) for at, length in zip(indices, self.layout.shape, strict=True)]
        key = [slice(int(at[0]), int(at[-1]) + 1) if s is None else s for at, s in zip(indices, slices, strict=True)]
        values = self.array.read(tuple(key))
        for axis, at in enumerate(indices):
            if slices[axis] is None:
                values = self._taken(values, axis, at - at[0])
        return values

    def names(self, wanted: Wanted) -> tuple[str, ...]:
        """The names of the axes that is left of each stored axis."""
        pinned = {name for name, places in wanted.items() if len(places) == 1} | set(self.cells.fixed)
        found = []
        for term in self.layout.terms:
            names = [axis.name for axis in term.axes()]
            names = [n for n in names if n not in pinned and self.layout.sizes[n] != 1] or names[-1:]
            found.append(names[0] if len(names) == 1 else f"({' '.join(names)})")
        return tuple(found)

    def listeners(self, slots: Ints, gain: Floats) -> Weighed:
        """Weight x gain of every neuron that reads there: by its number. `slots` are in order, each once."""
        found = Weighed(len(self.cells))
        for indices in map(self.indices, self.cuts(slots)):
            values = numbers_of(self.model, self.read(indices))
            at = np.searchsorted(slots, self._grid(indices, self.strides))
            found.add(self._grid(indices, self.cells.strides) + self.start, values * gain[at])
        return found

    def slots(self, coords: Mapping[str, int]) -> Weighed:
        """The weights of the neuron at a coordinate (a facet chooses among them): by the slot that they read."""
        found = Weighed(self.reader.slots)
        indices = self.indices({name: np.array([at]) for name, at in coords.items()})
        found.add(self._grid(indices, self.strides), numbers_of(self.model, self.read(indices)))
        return found

    def slot_numbers(self, indices: Sequence[Ints]) -> Ints:
        """The slot of each element at some indices: an array that broadcasts to what is read."""
        return self._grid(indices, self.strides)

    def neuron_numbers(self, indices: Sequence[Ints]) -> Ints:
        """The number of the neuron that each element at some indices is of; it broadcasts as `slot_numbers` does."""
        return self._grid(indices, self.cells.strides) + self.start

    def weight(self, coords: Mapping[str, int], slot: int) -> Any:
        """What one neuron reads from one slot: a number, or the numbers of a kernel, or of several gates."""
        return self.array.read(self.layout.key({**coords, **self.reader.coords(slot)}))

    def _grid(self, indices: Sequence[Ints], strides: Mapping[str, int]) -> Ints:
        """Where the coordinates on some axes say, for each element: an array that broadcasts to what is read."""
        found = np.zeros((1,) * len(indices), np.int64)
        for axis, (coords, at) in enumerate(zip(self.along, indices, strict=True)):
            spread = [1] * len(indices)
            spread[axis] = -1
            for name in coords.keys() & strides.keys():
                found = found + (coords[name][at] * strides[name]).reshape(spread)
        return found

    def _taken(self, values: Any, axis: int, at: Ints) -> Any:
        if self.model.runner is None:
            return np.take(numbers_of(self.model, values), at, axis)
        return self.model.runner.take(values, axis, at.tolist())


def _bare(reader: Reader, shape: tuple[int, ...]) -> tuple[Layout, Population]:
    """The stored axes of an array of no known kind by number, and the neurons that those make which are not read."""
    names = [f"axis{number}" for number in range(len(shape))]
    read = {name for name, _ in reader.axes}
    axes = tuple(AxisSize(name, size) for name, size in zip(names, shape, strict=True) if name not in read)
    return fit(" ".join(names), shape), Population(reader.population, "row", axes, (), ())


def _along(layout: Layout, axis: int) -> dict[str, Ints]:
    """The coordinate of every index of a stored axis on each axis that is packed in it."""
    term, length = layout.terms[axis], layout.shape[axis]
    names = {one.name for one in term.axes()}
    alone = fit(Line((term,)), (length,), {name: layout.sizes[name] for name in names})
    found = coords_of(alone, np.arange(length))
    return {name: at for name, at in found.items() if name in names or (name == "part" and has_sum(term))}


def _slice(at: Ints, length: int) -> slice | None:
    """The slice that takes these indices; None if none does."""
    if len(at) == length:
        return slice(None)
    if len(at) < 2:
        return slice(int(at[0]), int(at[0]) + 1) if len(at) else slice(0, 0)
    step = int(at[1] - at[0])
    if not (np.diff(at) == step).all():
        return None
    return slice(int(at[0]), int(at[-1]) + 1, step)


def spans(slots: Ints) -> Sequence[int]:
    """Slots as a range where they follow each other in equal steps, else as a tuple."""
    steps = np.diff(slots)
    if not len(slots) or (steps != steps[:1]).any():
        return tuple(slots.tolist())
    return range(int(slots[0]), int(slots[-1]) + 1, int(steps[0]) if len(steps) else 1)


def span_text(slots: Ints) -> str:
    """Slots as people say them: `48 to 63`, `3, 15, 27, ... (16)`."""
    if len(slots) > 2 and (np.diff(slots) == 1).all():
        return f"{slots[0]} to {slots[-1]}"
    few = ", ".join(map(str, slots[:FEW].tolist()))
    return few if len(slots) <= FEW else f"{few}, ... ({len(slots):,})"

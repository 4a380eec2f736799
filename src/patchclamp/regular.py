"""From what goes of an array's neurons and slots to what each stored axis keeps; refused where that would be ragged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .arrays import Array
from .axes import Line
from .errors import EditError
from .flow.cells import Reader, coords_of
from .frozen import dataclass
from .layout import Layout
from .model import LayerInfo, Placed, Population, plural
from .plan import Take

__all__ = ["Shears", "even"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Pair:
    """Two stored axes of an array, the first before the second."""

    first: int
    second: int


class Shears:
    """What goes of one array: along single stored axes, and along pairs of them (a channel of one group alone)."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.alone: dict[int, Flags] = {}
        self.pairs: dict[_Pair, Flags] = {}

    def neurons(self, cells: Population, placed: Placed, gone: Flags) -> None:
        """Take what the array has of neurons: `gone` is true at their numbers."""
        names = {axis.name: cells.strides[axis.name] for axis in cells.axes}
        base = sum(names.pop(axis) * at for axis, at in placed.at.items() if axis in names)
        self._mark(placed.layout, names, base, gone, cells.fixed)

    def slots(self, reader: Reader, gone: Flags) -> None:
        """Take what the array has of slots."""
        assert reader.placed is not None
        strides, stride = {}, 1
        for name, size in reversed(reader.axes):
            strides[name] = stride
            stride *= size
        self._mark(reader.placed.layout, strides, 0, gone, {})

    def along(self, axis: int, gone: Sequence[int]) -> None:
        """Take places of one stored axis."""
        self._alone(axis)[list(gone)] = True

    def _alone(self, axis: int) -> Flags:
        return self.alone.setdefault(axis, np.zeros(self.array.shape[axis], bool))

    def _mark(
        self, layout: Layout, strides: Mapping[str, int], base: int, gone: Flags, fixed: Mapping[str, int]
    ) -> None:
        along = [(axis, coords) for axis, coords in enumerate(_coords(layout)) if strides.keys() & coords.keys()]
        if not along:
            return
        if len(along) > 2:
            raise EditError(f"the neurons of {self.array.path} lie along {len(along)} of its axes", "this is not known")
        parts = [_numbers(coords, strides, fixed) for _, coords in along]
        if len(parts) == 1:
            number, here = parts[0]
            self._alone(along[0][0])[:] |= here & gone[np.where(here, number + base, 0)]
            return
        (one, here), (other, there) = parts
        number = one[:, None] + other[None, :]
        both = here[:, None] & there[None, :]
        pair = _Pair(along[0][0], along[1][0])
        shape = number.shape
        flags = self.pairs.setdefault(pair, np.zeros(shape, bool))
        flags |= both & gone[np.where(both, number + base, 0)]

    def takes(self) -> Iterator[Take]:
        """What each axis keeps. Raises EditError where one group would keep another number than the next."""
        for pair, flags in self.pairs.items():
            whole = flags.all(1)
            self._alone(pair.first)[whole] = True
            kept = flags[~self.alone[pair.first]]
            if len(kept):
                self._alone(pair.second)[kept.all(0)] = True
        rows = {axis: np.flatnonzero(~gone) for axis, gone in self.alone.items() if gone.any()}
        for axis, index in rows.items():
            yield Take(self.array.path, axis, index)
        for pair, flags in self.pairs.items():
            left = flags[np.ix_(*(rows.get(axis, np.arange(flags.shape[i])) for i, axis in enumerate(_axes(pair))))]
            if not left.any():
                continue
            counts = (~left).sum(1)
            if len(set(counts.tolist())) != 1:
                raise EditError(
                    f"{self.array.path} would keep {counts.min()} in one group and {counts.max()} in another",
                    "take as many from each group, or whole groups",
                )
            index = np.stack([np.flatnonzero(~row) for row in left])
            yield Take(self.array.path, pair.second, index, by=pair.first)

    def shape(self) -> tuple[int, ...]:
        """The array's shape afterwards."""
        found = list(self.array.shape)
        for take in self.takes():
            found[take.axis] = take.index.shape[-1]
        return tuple(found)


def _axes(pair: _Pair) -> tuple[int, int]:
    return pair.first, pair.second


def _coords(layout: Layout) -> Iterator[Mapping[str, Ints]]:
    """For each stored axis, where its places lie on the named axes that are packed in it."""
    for term, length in zip(layout.terms, layout.shape, strict=True):
        names = {axis.name for axis in term.axes()}
        sizes = {name: size for name, size in layout.sizes.items() if name in names}
        yield coords_of(Layout(Line((term,)), (length,), (term,), sizes), np.arange(length))


def _numbers(coords: Mapping[str, Ints], strides: Mapping[str, int], fixed: Mapping[str, int]) -> tuple[Ints, Flags]:
    """The share of a number that the places of an axis give, and at which of them there is one."""
    length = len(next(iter(coords.values())))
    number, here = np.zeros(length, np.int64), np.ones(length, bool)
    for name, stride in strides.items():
        if name in coords:
            here &= coords[name] >= 0
            number += np.where(coords[name] >= 0, coords[name], 0) * stride
    for name, at in fixed.items():
        if name in coords:
            here &= coords[name] == at
    return number, here


def even(layer: LayerInfo, cells: Population, gone: Flags) -> dict[str, int]:
    """The sizes of a population's axes afterwards, of those that change.

    Raises EditError where that would be no rectangle: other numbers of neurons in one group than in the next.
    """
    sizes = [axis.size for axis in cells.axes]
    kept = (~gone).reshape(sizes)
    found: dict[str, int] = {}
    for place, axis in enumerate(cells.axes):
        others = tuple(i for i in range(len(sizes)) if i != place)
        used = kept.any(axis=others) if others else kept
        kept = np.compress(used, kept, axis=place)
        if kept.shape[place] != axis.size:
            found[axis.name] = kept.shape[place]
    if kept.all():
        return found
    last = kept.sum(-1)
    if (last != last.flat[0]).any():
        raise EditError(_ragged(layer, cells, last), _hint(cells))
    return {**found, cells.axes[-1].name: int(last.flat[0])}


def _ragged(layer: LayerInfo, cells: Population, counts: Ints) -> str:
    outer = " and ".join(axis.name for axis in cells.axes[:-1] if axis.size > 1)
    spread = ", ".join(str(n) for n in itertools.islice(counts.ravel().tolist(), 8))
    return f"{layer.name} would keep {spread} {plural(cells.noun)} in its parts ({outer}), which must have equally many"


def _hint(cells: Population) -> str:
    if any(axis.labels for axis in cells.axes):
        each = [f"{axis.name} ({', '.join(axis.labels)})" for axis in cells.axes if axis.labels and axis.size > 1]
        return f"take as many from each {' and '.join(each)}: which ones is free"
    return f"take as many from each {cells.axes[0].name}, or whole {cells.axes[0].name}s"

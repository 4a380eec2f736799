"""For the brute-force oracle: arrays that layers hold, with a number for each element, and whose each element is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from ...axes import Key
from ...model import LayerInfo, Placed, Population

__all__ = ["Held", "Ints", "offsets"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Held:
    """An array of one population of a layer; its elements are numbered from `base` by where they lie in memory."""

    layer: LayerInfo
    population: Population
    placed: Placed
    base: int
    offset: int
    strides: tuple[int, ...]

    @property
    def path(self) -> str:
        return self.placed.array.path

    @property
    def ids(self) -> Ints:
        """The number of each element."""
        return self.base + offsets(self.placed.layout.shape, self.strides, self.offset)

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest number."""
        ends = ((size - 1) * stride for size, stride in zip(self.placed.layout.shape, self.strides, strict=True))
        return self.base + self.offset, self.base + self.offset + sum(ends)

    @property
    def table(self) -> bool:
        return self.layer.kind is not None and self.layer.kind.role == "embedding"

    @property
    def recurrent(self) -> bool:
        """Whether the neurons are units of a recurrent layer, which are what it gives, not what its weights give."""
        return self.layer.kind is not None and self.layer.kind.family == "recurrent" and self.population.name == ""

    def same(self, other: Held) -> bool:
        """Whether both are one array of one population."""
        return self.path == other.path and self.population is other.population

    def share(self, number: int) -> Ints:
        """The elements that are one neuron's."""
        coords = self.population.coords(number)
        if any(coords.get(axis, at) != at for axis, at in self.placed.at.items()):
            return np.zeros(0, np.int64)
        return self._taken(self.ids, self.placed.layout.keys(coords))

    @cached_property
    def slots(self) -> tuple[Ints, ...]:
        """The elements of each slot: row-major over the axes that group what is read, then those that enter."""
        layout, cells = self.placed.layout, self.population
        own = {axis.name for axis in (*cells.axes, *cells.facets)} | {*self.placed.at, *cells.fixed, "part"}
        inside = {name for name in layout.sizes if name[:1] in "ka" and name.lstrip("kat").isdigit()}
        shared = [name for name in ("group", "expert") if name in own and name in layout.sizes]
        enter = [name for name in layout.sizes if name not in own | inside]
        if not enter and not (shared and inside):
            return ()
        axes = [*shared, *enter]
        fixed = {name: at for name, at in cells.fixed.items() if name in layout.names}
        places = [dict(zip(axes, at, strict=True)) for at in product(*(range(layout.sizes[name]) for name in axes))]
        ids = self.ids
        return tuple(self._taken(ids, layout.keys({**fixed, **at})) for at in places)

    @cached_property
    def _slot_at(self) -> npt.NDArray[np.int32]:
        """The slot of each element, by its number from the lowest on; -1 for those of none."""
        low, high = self.span
        table = np.full(high - low + 1, -1, np.int32)
        for slot, ids in enumerate(self.slots):
            table[ids - low] = slot
        return table

    def slots_of(self, ids: Ints) -> list[int]:
        """The slots that have any of these elements."""
        low, high = self.span
        found = self._slot_at[ids[(ids >= low) & (ids <= high)] - low]
        return [int(slot) for slot in np.unique(found[found >= 0])]

    def _taken(self, ids: Ints, keys: Iterable[Key]) -> Ints:
        return np.concatenate([np.zeros(0, np.int64), *(ids[key].reshape(-1) for key in keys)])


def offsets(shape: Sequence[int], strides: Sequence[int], start: int) -> Ints:
    """Where each element lies in memory."""
    found = np.array(start)
    for size, stride in zip(shape, strides, strict=True):
        found = found[..., None] + np.arange(size) * stride
    return found

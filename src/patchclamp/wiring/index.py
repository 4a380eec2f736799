"""The connections of a trace, found by who is heard and by what is read: sorted once, then a search."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from ..flow.cells import Reader
from ..flow.edges import Mixed, Traced
from ..model import Model
from .places import Ints, Place

__all__ = ["Index"]


class Index:
    """A trace with what finds its rows. Nothing is sorted before the first query."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.cells = traced.cells
        self.readers = traced.readers
        self._places: dict[int, Place] = {}

    @property
    def model(self) -> Model:
        return self.cells.model

    def reader(self, number: int) -> Reader:
        return self.readers[number]

    def place(self, number: int) -> Place:
        """Where a reader's weights lie. Raises KindError where that cannot be told."""
        found = self._places.get(number)
        if found is None:
            reader = self.readers[number]
            block = self.cells.block(reader.layer, reader.population)
            found = self._places[number] = Place(self.model, reader, block.count)
        return found

    def listener(self, reader: int, number: int) -> str:
        """The address of a neuron that reads with an array."""
        one = self.readers[reader]
        return self.cells.text(self.cells.block(one.layer, one.population).start + number)

    @cached_property
    def rank(self) -> Ints:
        """Where each reader stands in the network's order."""
        layers = {name: number for number, name in enumerate(self.model.layers)}
        keys = [(layers.get(reader.layer, -1), reader.number) for reader in self.readers]
        found = np.zeros(len(keys), np.int64)
        found[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
        return found

    @cached_property
    def of_population(self) -> dict[tuple[str, str], list[Reader]]:
        """The arrays that the neurons of a population read with."""
        found: dict[tuple[str, str], list[Reader]] = {}
        for reader in self.readers:
            found.setdefault((reader.layer, reader.population), []).append(reader)
        return found

    @cached_property
    def ranks(self) -> bool:
        """Whether there are gains to rank by: not where it was traced without numbers."""
        return not len(self.traced.gain) or not bool(np.isnan(self.traced.gain).all())

    def did_run(self, label: int) -> bool:
        return _has(self._ran, label)

    def silence(self, label: int, name: str) -> str:
        """Why nothing is known of a neuron that did not run, in words."""
        outer = self.traced.within.get(self.cells.of(label).layer)
        if outer:
            return f"{name} is inside of {outer}, which is followed from outside alone: ask that"
        return f"{name} did not run on this input"

    def heard(self, label: int) -> Ints:
        """The rows of one source, by reader in the network's order, then tags, then slot."""
        order, sources = self._by_source
        low, high = np.searchsorted(sources, (label, label + 1))
        return order[low:high]

    def feeding(self, reader: int, slots: range) -> Ints:
        """The rows of some slots of a reader, by slot."""
        order, places = self._by_slot
        first = self._starts[reader]
        low, high = np.searchsorted(places, (first + slots.start, first + slots.stop))
        return order[low:high]

    def mixed_from(self, label: int) -> Iterator[list[Mixed]]:
        """What hears a neuron in mixtures: those of one reader and one path together."""
        labels, groups = self._members
        low, high = np.searchsorted(labels, (label, label + 1))
        rows = [row for group in groups[low:high] for row in self._of_group.get(int(group), ())]
        found: dict[tuple[int, int], list[Mixed]] = {}
        for row in rows:
            found.setdefault((row.reader, row.tags), []).append(row)
        yield from (found[key] for key in sorted(found, key=lambda key: (self.rank[key[0]], key[1])))

    def mixed_into(self, reader: int, slots: range) -> Iterator[tuple[Mixed, Ints]]:
        """The mixtures that some slots of a reader hear, and which of these slots do."""
        for row in self._of_reader.get(reader, ()):
            kept = row.slots[(row.slots >= slots.start) & (row.slots < slots.stop)]
            if len(kept):
                yield row, kept

    def reaches_output(self, label: int) -> bool:
        return _has(self._outputs, label)

    @cached_property
    def _ran(self) -> Ints:
        return np.unique(self.traced.ran)

    @cached_property
    def _outputs(self) -> Ints:
        return np.unique(self.traced.outputs)

    @cached_property
    def _by_source(self) -> tuple[Ints, Ints]:
        t = self.traced
        order = np.lexsort((t.slot, t.tags, self.rank[t.reader] if len(self.rank) else t.reader, t.source))
        return order, t.source[order]

    @cached_property
    def _starts(self) -> Ints:
        """The number of each reader's first slot, if all slots were counted through."""
        return np.concatenate([[0], np.cumsum([reader.slots for reader in self.readers])]).astype(np.int64)

    @cached_property
    def _by_slot(self) -> tuple[Ints, Ints]:
        t = self.traced
        places = self._starts[t.reader] + t.slot
        order = np.lexsort((t.tags, t.source, places))
        return order, places[order]

    @cached_property
    def _members(self) -> tuple[Ints, Ints]:
        """Every label that is in a group, in order, with the group."""
        used = sorted(self._of_group)
        if not used:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        labels = np.concatenate([self.traced.groups[group] for group in used])
        groups = np.repeat(used, [len(self.traced.groups[group]) for group in used])
        order = np.argsort(labels, kind="stable")
        return labels[order], groups[order]

    @cached_property
    def _of_group(self) -> dict[int, list[Mixed]]:
        found: dict[int, list[Mixed]] = {}
        for row in self.traced.mixed:
            found.setdefault(row.group, []).append(row)
        return found

    @cached_property
    def _of_reader(self) -> dict[int, list[Mixed]]:
        found: dict[int, list[Mixed]] = {}
        for row in self.traced.mixed:
            found.setdefault(row.reader, []).append(row)
        return found


def _has(labels: Ints, label: int) -> bool:
    """Whether sorted labels have one."""
    at = int(np.searchsorted(labels, label))
    return at < len(labels) and int(labels[at]) == label

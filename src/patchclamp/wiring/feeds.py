"""Whom a neuron hears: for each of its incoming weights the neurons that feed it, the strongest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..flow.cells import Reader
from ..frozen import dataclass
from ..parts.tree import Column, Heading, Page, Part, Table, Text
from ..read import address_text
from ..shown import Shown
from .index import Index
from .listeners import SHOWN, Link, no_gains, ranked
from .places import Floats, Ints, Weighed, span_text, spans
from .targets import Target

__all__ = ["Feed", "MixedFeed", "Sources"]


class Feed:
    """One incoming weight and one neuron that feeds it, by one path.

    source, listener    addresses; a source may be the network's input, or an unknown origin by its name
    word, slot          which of the listener's arrays, and which slot of it
    tags                what lies on the path, in order
    gain, low, high     change of the slot per unit change of the source: mean, least, greatest
    """

    def __init__(self, index: Index, target: Target, row: int) -> None:
        traced = index.traced
        self._index = index
        self._target = target
        self._label = int(traced.source[row])
        self.reader: Reader = index.reader(int(traced.reader[row]))
        self.slot = int(traced.slot[row])
        self.tags = traced.tag_names[int(traced.tags[row])]
        self.gain, self.low, self.high = (float(column[row]) for column in (traced.gain, traced.low, traced.high))

    @property
    def source(self) -> str:
        return self._index.cells.text(self._label)

    @property
    def neuron(self) -> bool:
        """Whether the source is a neuron, not the network's input or an unknown origin."""
        return not self._index.cells.of(self._label).text

    @property
    def listener(self) -> str:
        return address_text(self._index.model, self._target.asked)

    @property
    def word(self) -> str:
        return self.reader.word

    @property
    def weight(self) -> Any:
        """The listener's weight at the slot, as stored: one number, or those of a kernel or of several gates.

        None for what a head gives, which is read and not weighed here.
        """
        if not self._target.label:
            return None
        return self._index.place(self.reader.number).weight(self._target.coords, self.slot)

    def __repr__(self) -> str:
        way = ", ".join(self.tags) or "straight"
        return f"<{self.source} -> {self.listener} {self.word} slot {self.slot} ({way}, gain {self.gain:.4g})>"


@dataclass(frozen=True, slots=True, eq=False)
class MixedFeed:
    """Slots of a neuron that hear others only through a mixture of all of them. `labels` are these in the trace."""

    listener: str
    word: str
    slots: Sequence[int]
    tags: tuple[str, ...]
    labels: Ints
    index: Index

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses of the neurons in the mixture."""
        return tuple(self.index.cells.text(int(label)) for label in self.labels)

    def __repr__(self) -> str:
        slots = span_text(np.array(self.slots))
        return f"<{len(self):,} neurons -> {self.listener} {self.word} slot {slots} ({', '.join(self.tags)}, mixed)>"


class Sources(Shown, Sequence[Feed]):
    """Everything that feeds a neuron (or several): a sequence of `Feed`, one for each slot, neuron and path.

    mixed    what it hears only through mixtures, group by group
    why      in words, where nothing feeds it
    notes    where the trace may have lost the trail
    """

    def __init__(self, index: Index, chosen: Sequence[Target]) -> None:
        self._index = index
        self._chosen = chosen
        self._spans = [(target, index.feeding(number, slots)) for target, number, slots in self._reads()]
        self._ends = np.cumsum([len(rows) for _, rows in self._spans])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        span = int(np.searchsorted(self._ends, number, side="right"))
        target, rows = self._spans[span]
        return Feed(self._index, target, int(rows[number - int(self._ends[span])]))

    @property
    def mixed(self) -> tuple[MixedFeed, ...]:
        groups, names = self._index.traced.groups, self._index.traced.tag_names
        found = []
        for target, number, slots in self._reads():
            listener, word = address_text(self._index.model, target.asked), self._index.reader(number).word
            for row, kept in self._index.mixed_into(number, slots):
                found.append(MixedFeed(listener, word, spans(kept), names[row.tags], groups[row.group], self._index))
        return tuple(found)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._index.traced.notes

    @property
    def why(self) -> str:
        """Why nothing feeds it, in words; empty where something does."""
        if len(self):
            return ""
        name = self._name
        labels = [target.label for target in self._chosen if target.label]
        if not self._spans:
            return f"{name} reads nothing: its values come from a table or from the network's input"
        if labels and not any(map(self._index.did_run, labels)):
            return self._index.silence(labels[0], name)
        found = f"{name} {self._hear} {self._mixture}" if self.mixed else f"what {name} reads comes from no neuron"
        lost = "; ".join(note for note in self.notes if note not in found)
        return f"{found}; but the trail may be lost: {lost}" if lost else found

    def strongest(self, most: int = 10) -> tuple[Link, ...]:
        """The neurons that feed it most strongly: direct paths by weight x gain, those of one array together.

        Of what a head gives the gain alone counts. Paths of unknown gain are left out. Raises RunError for a wiring
        that was traced without numbers.
        """
        found: list[Link] = []
        for target, rows in self._spans:
            found = sorted([*found, *_links(self._index, target, rows, most)], key=lambda link: -link.strength)[:most]
        return tuple(found)

    def _reads(self) -> Iterator[tuple[Target, int, range]]:
        """The arrays that each neuron reads with, and its slots of them."""
        for target in self._chosen:
            if not target.label:
                yield target, target.reader, range(target.slot, target.slot + 1)
                continue
            for reader in self._index.of_population.get(target.cells, ()):
                placed = reader.placed
                if placed is None or all(target.coords.get(axis, at) == at for axis, at in placed.at.items()):
                    yield target, reader.number, self._index.place(reader.number).own(target.coords)

    @property
    def _name(self) -> str:
        names = [address_text(self._index.model, target.asked) for target in self._chosen[:3]]
        more = len(self._chosen) - len(names)
        return f"{', '.join(names)} and {more} more" if more else " and ".join(names)

    @property
    def _hear(self) -> str:
        return "hear" if len(self._chosen) > 1 else "hears"

    def page(self) -> Page:
        several = len(self._chosen) > 1
        columns = [Column("source"), Column("array"), Column("slot"), Column("path", wrap=True), Column("gain")]
        if several:
            columns.insert(0, Column("neuron"))
        rows = tuple(_row(one, several) for one in self[:SHOWN])
        parts: list[Part] = [Heading(f"whom {self._name} {self._hear}")]
        if self.why:
            parts.append(Text(self.why))
        if rows:
            parts.append(Table(tuple(columns), rows))
        if len(self) > SHOWN:
            parts.append(Text(f"and {len(self) - SHOWN:,} more"))
        if self.mixed and len(self):
            parts.append(Text(f"and {self._mixture}"))
        return Page(tuple(parts))

    @property
    def _mixture(self) -> str:
        """What is heard in mixtures, in words: how many neurons, and what else by its name."""
        cells = self._index.cells
        labels = np.unique(np.concatenate([one.labels for one in self.mixed]))
        real = _neurons(self._index, labels)
        words = [cells.text(int(label)) for label in labels[~real]]
        if real.any():
            words.insert(0, f"{int(real.sum()):,} neuron{'s' if real.sum() > 1 else ''} in mixtures")
        return ", ".join(words)


def _links(index: Index, target: Target, rows: Ints, most: int) -> Iterator[Link]:
    """The strongest sources of one neuron by one array; the network's input is none."""
    traced, model, cells = index.traced, index.model, index.cells
    rows = rows[_neurons(index, traced.source[rows])]
    if not len(rows):
        return
    if not index.ranks:
        raise no_gains()
    reader = index.reader(int(traced.reader[rows[0]]))
    weights = index.place(reader.number).slots(target.coords) if target.label else _one(reader.slots)
    pairs, at = np.unique(np.stack([traced.source[rows], traced.slot[rows]]), axis=1, return_inverse=True)
    gain = np.bincount(at.ravel(), traced.gain[rows], pairs.shape[1]).astype(float)
    labels, which = np.unique(pairs[0], return_inverse=True)
    weighed = _weighed(weights, pairs[1], gain, which, len(labels))
    for place, strength, value in ranked(weighed, most):
        mine = traced.source[rows] == labels[place]
        slots = spans(np.unique(traced.slot[rows[mine]]))
        words = dict.fromkeys(w for tag in np.unique(traced.tags[rows[mine]]) for w in traced.tag_names[tag])
        names = cells.text(int(labels[place])), address_text(model, target.asked)
        yield Link(*names, reader.word, slots, strength, value, tuple(words))


def _neurons(index: Index, labels: Ints) -> npt.NDArray[np.bool_]:
    """Which of these labels are neurons."""
    blocks = index.cells.blocks
    starts = np.array([block.start for block in blocks])
    real = np.array([not block.text for block in blocks], bool)
    return np.asarray(real[np.searchsorted(starts, labels, side="right") - 1])


def _weighed(weights: Weighed, slots: Ints, gain: Floats, which: Ints, size: int) -> Weighed:
    """Weights of some slots x gain, summed up source by source."""
    found = Weighed(size)
    found.square += np.bincount(which, weights.square[slots] * gain**2, size)
    found.total += np.bincount(which, weights.total[slots] * gain, size)
    found.count += np.bincount(which, weights.count[slots], size).astype(np.int64)
    return found


def _one(slots: int) -> Weighed:
    """What a head gives is read as it is."""
    found = Weighed(slots)
    found.square[:] = found.total[:] = found.count[:] = 1
    return found


def _row(one: Feed, several: bool) -> tuple[object, ...]:
    row = (one.source, one.word, one.slot, ", ".join(one.tags), one.gain)
    return (one.listener, *row) if several else row

"""Who hears a neuron: the arrays that read it, and the neurons of these, the strongest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..address import Address, Step
from ..errors import KindError, PatchclampError, RunError
from ..flow.cells import Reader
from ..frozen import dataclass
from ..model import Model
from ..parts.tree import Column, Heading, Page, Part, Table, Text
from ..read import address_text
from ..shown import Shown
from .index import Index
from .places import Floats, Ints, Weighed, span_text, spans
from .targets import Target

__all__ = ["OUTPUT", "Connection", "Link", "Outgoing", "ranked", "reader_address"]

OUTPUT = "the network's output"
"""What a connection that is read by no weight is called."""
SHOWN = 20
"""How many connections are shown to people."""


@dataclass(frozen=True, slots=True)
class Link:
    """One neuron that hears another: a row of `strongest`.

    source, listener    addresses; word: the listener's array
    slots               which slots of it: several after a flatten
    strength            the Euclidean norm of weight x gain over these slots and the kernel; paths of one slot add up
    value               weight x gain with its sign, where it is one number; else None
    tags                what lies on the paths
    """

    source: str
    listener: str
    word: str
    slots: Sequence[int]
    strength: float
    value: float | None
    tags: tuple[str, ...]


class Connection:
    """One array of weights that hears a neuron, by one path.

    source, address     the neuron's address, and that of the neurons that hear it: `net[address]` gives them
    layer, word, array  the consuming layer's name, the array's word (`weight_ih`) and its stored name
    tags                what lies on the path, in order
    direct              whether the neuron's own value gets there; else it does only in a mixture with others
    slots               the slots of the array that hear it, ascending
    gain, low, high     change of each slot per unit change of the neuron: mean, least, greatest; None in a mixture
    """

    def __init__(self, index: Index, target: Target, reader: int, tags: tuple[str, ...], slots: Ints | None) -> None:
        self._index = index
        self._target = target
        self._reader = reader
        self._slots = slots
        self.tags = tags
        self.direct = True
        self.gain: Floats | None = None
        self.low: Floats | None = None
        self.high: Floats | None = None

    @property
    def source(self) -> str:
        return address_text(self._index.model, self._target.asked)

    @property
    def output(self) -> bool:
        """Whether it is the network's own output: no array reads it there."""
        return self._reader < 0

    @property
    def reader(self) -> Reader:
        """The array that reads, as the trace knows it. Raises KindError for the network's output."""
        if self.output:
            raise KindError(f"no weights read {self.source} at {OUTPUT}")
        return self._index.reader(self._reader)

    @property
    def layer(self) -> str:
        return "" if self.output else self.reader.layer

    @property
    def word(self) -> str:
        return "" if self.output else self.reader.word

    @property
    def array(self) -> str:
        return "" if self.output else self.reader.path.removeprefix(f"{self.layer}.")

    @property
    def address(self) -> str:
        return OUTPUT if self.output else reader_address(self._index.model, self.reader)

    @cached_property
    def slots(self) -> Sequence[int]:
        """A range where they follow each other in equal steps, else a tuple."""
        return spans(self._numbers)

    @property
    def weights(self) -> Any:
        """What all neurons of the array read there, as stored: a view of the model's memory if the slots are a slice.

        Raises KindError where they lie in several blocks (then `.blocks`), or the array's axes are not known.
        """
        blocks = self.blocks
        if len(blocks) != 1:
            raise KindError(f"these slots of {self.address} lie in {len(blocks)} blocks", "use .blocks")
        return blocks[0][0]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of `weights`, in the order in which they are stored."""
        place = self._index.place(self.reader.number)
        return place.names(place.cuts(self._numbers)[0])

    @property
    def blocks(self) -> tuple[tuple[Any, tuple[str, ...]], ...]:
        """The weights in as few blocks as they lie in: each with the names of its axes. Read when asked for."""
        place = self._index.place(self.reader.number)
        return tuple((place.read(place.indices(cut)), place.names(cut)) for cut in place.cuts(self._numbers))

    @property
    def strength(self) -> float | None:
        """The Euclidean norm of weight x gain over all neurons that read there; None in a mixture, or without gain."""
        if self.gain is None or self.output or np.isnan(self.gain).any():
            return None
        found = self._index.place(self._reader).listeners(self._numbers, self.gain)
        return float(np.sqrt(found.square.sum()))

    @property
    def _numbers(self) -> Ints:
        return np.zeros(0, np.int64) if self._slots is None else self._slots

    def __repr__(self) -> str:
        way = ", ".join(self.tags) or "straight"
        if self.output:
            return f"<{self.source} -> {OUTPUT}>"
        mixed = "" if self.direct else ", in a mixture"
        return f"<{self.source} -> {self.address} {self.word} slot {span_text(self._numbers)} ({way}{mixed})>"


class _Mixture(Connection):
    """A connection through a mixture, whose slots are put together when they are asked for."""

    def __init__(self, index: Index, target: Target, rows: Sequence[Any]) -> None:
        super().__init__(index, target, rows[0].reader, index.traced.tag_names[rows[0].tags], None)
        self.direct = False
        self._rows = rows

    @cached_property
    def _numbers(self) -> Ints:
        return np.unique(np.concatenate([row.slots for row in self._rows]))


class Outgoing(Shown, Sequence[Connection]):
    """Everything that hears a neuron (or several): a sequence of `Connection`, direct ones first.

    why      in words, where no weights hear it
    notes    where the trace may have lost the trail
    """

    def __init__(self, index: Index, chosen: Sequence[Target]) -> None:
        self._index = index
        self._chosen = chosen
        self._found = [one for target in chosen for one in _connections(index, target)]

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    @property
    def notes(self) -> tuple[str, ...]:
        return self._index.traced.notes

    @property
    def why(self) -> str:
        """Why no weights hear it, in words; empty where some do."""
        if any(not one.output for one in self._found):
            return ""
        name = self._name
        if not self._chosen:
            return "no neuron was asked for"
        if not any(target.label == 0 or self._index.did_run(target.label) for target in self._chosen):
            found = self._index.silence(self._chosen[0].label, name)
        elif self._found:
            found = f"no weights read {name}: it leaves by {OUTPUT}"
        else:
            found = f"nobody hears {name}: no weights that ran read it, and it does not reach the output"
        lost = "; ".join(self.notes)
        return f"{found}; but the trail may be lost: {lost}" if lost else found

    def strongest(self, most: int = 10) -> tuple[Link, ...]:
        """The neurons that hear it most strongly: direct paths by weight x gain, those of one array together.

        Paths of unknown gain are left out. Raises RunError for a wiring that was traced without numbers.
        """
        found: list[Link] = []
        for target in self._chosen:
            links = _links(self._index, target, most)
            found = sorted([*found, *links], key=lambda link: -link.strength)[:most]
        return tuple(found)

    @property
    def _name(self) -> str:
        names = [address_text(self._index.model, target.asked) for target in self._chosen[:3]]
        more = len(self._chosen) - len(names)
        return f"{', '.join(names)} and {more} more" if more else " and ".join(names)

    def page(self) -> Page:
        columns = [Column("heard by"), Column("array"), Column("slots"), Column("path", wrap=True)]
        columns += [Column("gain", "right"), Column("|weight x gain|", "right")]
        several = len(self._chosen) > 1
        if several:
            columns.insert(0, Column("neuron"))
        rows = tuple(_row(one, several) for one in self._found[:SHOWN])
        parts: list[Part] = [Heading(f"who hears {self._name}")]
        if self.why:
            parts.append(Text(self.why))
        if rows:
            parts.append(Table(tuple(columns), rows))
        if len(self._found) > SHOWN:
            parts.append(Text(f"and {len(self._found) - SHOWN:,} more"))
        return Page(tuple(parts))


def reader_address(model: Model, reader: Reader) -> str:
    """The address of the neurons that read with an array: a layer, its population, in a stack the place."""
    if reader.placed is None:
        return reader.path
    cells = model.layers[reader.layer].populations[reader.population]
    places = (axis for axis in cells.axes if axis.labels and axis.size > 1)
    steps = [Step(axis.labels[reader.placed.at.get(axis.name, 0)]) for axis in places]
    if reader.population:
        steps.append(Step(reader.population))
    return model.addresses.text(Address(reader.layer, tuple(steps)))


def ranked(weighed: Weighed, most: int) -> Iterator[tuple[int, float, float | None]]:
    """The strongest: number, strength, and the one number that it is, if it is one. NaN is left out."""
    strength = weighed.norm
    there = np.flatnonzero((weighed.count > 0) & ~np.isnan(strength))
    if len(there) > most:
        there = there[np.argpartition(-strength[there], most - 1)[:most]] if most else there[:0]
    for number in there[np.lexsort((there, -strength[there]))].tolist():
        one = weighed.count[number] == 1 and not np.isnan(weighed.total[number])
        yield number, float(strength[number]), float(weighed.total[number]) if one else None


def _connections(index: Index, target: Target) -> Iterator[Connection]:
    if not target.label:
        one = Connection(index, target, target.reader, (), np.array([target.slot]))
        one.gain = one.low = one.high = np.ones(1)
        yield one
        return
    traced = index.traced
    rows = index.heard(target.label)
    for part in _parts(traced.reader[rows], traced.tags[rows]):
        some = rows[part]
        tags = traced.tag_names[int(traced.tags[some[0]])]
        one = Connection(index, target, int(traced.reader[some[0]]), tags, traced.slot[some])
        one.gain, one.low, one.high = traced.gain[some], traced.low[some], traced.high[some]
        yield one
    for mixed in index.mixed_from(target.label):
        yield _Mixture(index, target, mixed)
    if index.reaches_output(target.label):
        yield Connection(index, target, -1, (), None)


def _parts(*columns: Ints) -> Iterator[slice]:
    """Runs of rows that are alike in some columns."""
    if len(columns[0]):
        changes = np.any([np.diff(column) != 0 for column in columns], axis=0)
        ends = [0, *(np.flatnonzero(changes) + 1).tolist(), len(columns[0])]
        yield from (slice(a, b) for a, b in pairwise(ends))


def _links(index: Index, target: Target, most: int) -> Iterator[Link]:
    """The strongest listeners of one neuron, of each array that reads it."""
    source = address_text(index.model, target.asked)
    for reader, slots, gain, words in _heard(index, target):
        place = index.place(reader)
        for number, strength, value in ranked(place.listeners(slots, gain), most):
            read = slots[np.isin(slots, place.own(place.cells.coords(number)))]
            yield Link(source, index.listener(reader, number), place.reader.word, spans(read), strength, value, words)


def _heard(index: Index, target: Target) -> Iterator[tuple[int, Ints, Floats, tuple[str, ...]]]:
    """For each array that hears a neuron directly: the slots, their gains by all paths together, what lies on these."""
    if not target.label:
        yield target.reader, np.array([target.slot]), np.ones(1), ()
        return
    if not index.ranks:
        raise no_gains()
    traced, rows = index.traced, index.heard(target.label)
    for part in _parts(traced.reader[rows]):
        some = rows[part]
        slots, at = np.unique(traced.slot[some], return_inverse=True)
        gain = np.bincount(at, traced.gain[some], len(slots)).astype(float)
        words = dict.fromkeys(word for tag in np.unique(traced.tags[some]) for word in traced.tag_names[tag])
        yield int(traced.reader[some[0]]), slots, gain, tuple(words)


def no_gains() -> RunError:
    what = "this wiring was traced without numbers, so it has no gains to rank by"
    return RunError(what, "trace with numbers: net.wiring(x) of the loaded model")


def _gain_text(gain: Floats | None) -> str | None:
    """The gains of some slots: one number, or from where to where."""
    if gain is None or np.isnan(gain).all():
        return None
    low, high = float(np.nanmin(gain)), float(np.nanmax(gain))
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _row(one: Connection, several: bool) -> tuple[object, ...]:
    slots = None if one.output else span_text(one._numbers)
    way = ", ".join((*one.tags, *(() if one.direct else ("in a mixture",))))
    try:
        strength: float | str | None = one.strength
    except PatchclampError as error:
        strength = f"cannot be read: {error.message}"
    row = (one.address, one.array or None, slots, way, _gain_text(one.gain), strength)
    return (one.source, *row) if several else row

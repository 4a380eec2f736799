"""What a change of a neuron does to those who hear it, from the wiring alone: weight x gain x change, without a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .beside import numbers_of
from .capture import kernel_of
from .errors import RunError
from .flow.cells import Reader
from .model import LayerInfo, Model, Neurons, Population
from .parts.tree import Column, Heading, Page, Part, Table, Text
from .read import address_text
from .shown import Shown
from .wiring import Connection, Wiring
from .wiring.places import Floats, Ints, Place, Weighed

__all__ = ["Forecast", "Forecasted", "forecast"]

LINEAR = frozenset(
    {"batch_norm", "concat", "flatten", "pool:mean", "residual", "scale", "upsample", "attention", "filter"}
)
"""What lies on a path without bending it. Where the gain of such a path is one number it holds for every change."""
SWITCHES = frozenset({"relu", "relu6", "leaky_relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "abs", "pool:max"})
"""What is straight on each side of a switch: exact until a change reaches it."""
SAME = 1e-9
"""How far the gains of a slot may lie apart, as a share of the largest, and be one number but for rounding."""
SHOWN = 20
"""How many rows are shown to people."""


@dataclass(frozen=True, slots=True)
class Forecasted:
    """The change of one consumer's weighted sum.

    source, listener    addresses of the neuron that changes and of the neuron that hears it, a gate by its name
    word                the listener's array that reads it
    slope               its change per unit of change of the source: weight x gain, over all slots and the kernel
    change              slope x the change of the source
    exact               whether it holds for a change of any size, to rounding
    holds               where and how far it holds, in words
    """

    source: str
    listener: str
    word: str
    slope: float
    change: float
    exact: bool
    holds: str


@dataclass(frozen=True)
class _Heard:
    """The consumers that hear one neuron through one array on one path: their numbers and slopes, gate by gate."""

    model: Model
    source: str
    reader: Reader
    numbers: Ints
    slopes: Floats
    fixed: Mapping[str, int]
    delta: float
    exact: bool
    holds: str

    def row(self, at: int) -> Forecasted:
        slope = float(self.slopes[at])
        found = (self.source, self._listener(int(self.numbers[at])), self.reader.word)
        return Forecasted(*found, slope, slope * self.delta, self.exact, self.holds)

    def _listener(self, number: int) -> str:
        layer = self.model.layers[self.reader.layer]
        cells = layer.populations[self.reader.population]
        return address_text(self.model, Neurons(layer, cells, (number,), self.fixed, single=True))


class Forecast(Shown, Sequence[Forecasted]):
    """The change of everything that hears some neurons directly: a sequence of `Forecasted`, one a consumer and path.

    notes   what is not forecast: consumers that hear them in mixtures, or through arrays of no known kind; and where
            the trace may have lost the trail
    """

    def __init__(self, heard: Sequence[_Heard], notes: tuple[str, ...], name: str) -> None:
        self._heard = tuple(heard)
        self._ends = list(itertools.accumulate(len(one.numbers) for one in self._heard))
        self._name = name
        self.notes = notes

    @property
    def exact(self) -> bool:
        """Whether every row is."""
        return all(one.exact for one in self._heard)

    @cached_property
    def total(self) -> Mapping[tuple[str, str], float]:
        """(listener, array) -> its change, all sources and paths together. Paths that meet at other positions or calls
        of the listener are not one change: see `holds`."""
        found: dict[tuple[str, str], float] = {}
        for row in self:
            key = row.listener, row.word
            found[key] = found.get(key, 0.0) + row.change
        return found

    def strongest(self, most: int = 10) -> tuple[Forecasted, ...]:
        """The largest changes."""
        sizes = np.concatenate([abs(one.slopes * one.delta) for one in self._heard] or [np.zeros(0)])
        return tuple(self[int(at)] for at in np.argsort(-sizes, kind="stable")[:most])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(len(self))))
        at = range(len(self))[index]
        part = int(np.searchsorted(self._ends, at, side="right"))
        return self._heard[part].row(at - (self._ends[part - 1] if part else 0))

    def __iter__(self) -> Iterator[Forecasted]:
        for one in self._heard:
            for at in range(len(one.numbers)):
                yield one.row(at)

    def page(self) -> Page:
        columns = (Column("listener"), Column("array"), Column("change"), Column("holds", wrap=True))
        rows = tuple((row.listener, row.word, row.change, row.holds) for row in self.strongest(SHOWN))
        parts: list[Part] = [Heading(f"what a change of {self._name} does")]
        if rows:
            parts.append(Table(columns, rows))
        if len(self) > SHOWN:
            parts.append(Text(f"and {len(self) - SHOWN:,} smaller ones"))
        return Page((*parts, *(Text(note) for note in self.notes)))


def forecast(wiring: Wiring, neurons: Neurons, delta: Any = 1.0) -> Forecast:
    """The change of the weighted sum (pre-activation) of every consumer of some neurons, when they change by `delta`.

    `delta` is one number, or one a neuron: the change of what the neuron gives, the same at all of its positions; a
    change of its bias is one. A change of its weights moves it otherwise on each input: then `slope` times that is the
    change of a consumer that reads one position.

    Where the path is linear and its gain one number, the forecast is exact for a change of any size. Else it is first
    order: right for small changes around the data that the wiring was traced with, on the mean over its positions.

    Raises RunError for a wiring that was traced without numbers, or as many deltas as there are neurons are not given.
    """
    deltas = np.broadcast_to(_numbers(delta, len(neurons.numbers)), (len(neurons.numbers),))
    heard: list[_Heard] = []
    notes: dict[str, None] = {}
    for number, change in zip(neurons.numbers, deltas.tolist(), strict=True):
        one = Neurons(neurons.layer, neurons.population, (number,), neurons.fixed, single=True)
        outgoing = wiring.outgoing(one)
        connections = list(outgoing)
        if outgoing.why:
            notes[outgoing.why] = None
        for connection in connections:
            if connection.output:
                continue
            if not connection.direct or connection.reader.placed is None:
                why = "hears it in a mixture" if not connection.direct else "is of no known kind"
                notes[f"not forecast: {connection.address} {why}"] = None
                continue
            heard += _of(wiring.model, connection, connections, change)
    lost = (f"the trail may have been lost, so others may hear it: {note}" for note in wiring.notes)
    return Forecast(heard, (*notes, *lost), address_text(wiring.model, neurons))


def _numbers(delta: Any, count: int) -> Floats:
    try:
        found: Floats = np.asarray(delta, dtype=np.float64)
    except (TypeError, ValueError):
        raise RunError(f"a neuron cannot change by {delta!r}", "delta is a number, or one for each neuron") from None
    if found.shape not in ((), (count,)):
        raise RunError(f"{count} neurons cannot change by {found.shape} numbers", "give one number, or one for each")
    return found


def _of(model: Model, connection: Connection, every: Sequence[Connection], delta: float) -> Iterator[_Heard]:
    """What hears by one connection: all neurons of the array, gate by gate."""
    reader, gain = connection.reader, connection.gain
    if gain is None or np.isnan(gain).any():
        raise RunError(
            "this wiring was traced without numbers, so it has no gains", "trace with numbers: net.wiring(x)"
        )
    layer = model.layers[reader.layer]
    cells = layer.populations[reader.population]
    place = Place(model, reader, len(cells))
    exact, holds = _holding(layer, cells, connection, every)
    slots = np.asarray(list(connection.slots), np.int64)
    share = _share(layer)
    for fixed in _facets(cells, place):
        weighed = Weighed(len(cells))
        for cut in place.cuts(slots):
            indices = place.indices({**cut, **{name: np.array([at]) for name, at in fixed.items()}})
            values = numbers_of(model, place.read(indices))
            at = np.searchsorted(slots, place.slot_numbers(indices))
            weighed.add(place.neuron_numbers(indices), values * gain[at])
        numbers = np.flatnonzero(weighed.count)
        yield _Heard(
            model, connection.source, reader, numbers, weighed.total[numbers] * share, fixed, delta, exact, holds
        )


def _facets(cells: Population, place: Place) -> Iterator[dict[str, int]]:
    """Each gate by itself: its weighted sum is one of its own."""
    held = {name for axis in place.along for name in axis}
    inside = [facet for facet in cells.facets if facet.name in held]
    for numbers in itertools.product(*(range(facet.size) for facet in inside)):
        yield {facet.name: number for facet, number in zip(inside, numbers, strict=True)}


def _share(layer: LayerInfo) -> float:
    """Of a transposed convolution that takes wide steps each position reads only its share of the kernel."""
    if not layer.config.get("transposed"):
        return 1.0
    stride = layer.config.get("stride", 1)
    steps = stride if isinstance(stride, (tuple, list)) else (stride,)
    return 1.0 / float(np.prod(steps))


def _holding(
    layer: LayerInfo, cells: Population, connection: Connection, every: Sequence[Connection]
) -> tuple[bool, str]:
    """Whether a forecast is exact, and how far it holds, in words."""
    low, high = connection.low, connection.high
    assert low is not None and high is not None
    bent = [tag for tag in connection.tags if tag not in LINEAR]
    same = [c for c in every if c is not connection and not c.output and c.reader is connection.reader]
    if any(not other.direct for other in same):
        return False, "first order: it is also heard in a mixture"
    if _share(layer) != 1:
        return False, "the mean over positions, which read other parts of the kernel"
    if (abs(high - low) > SAME * np.maximum(abs(high), abs(low))).any():
        way = f"past {', '.join(dict.fromkeys(bent))}" if bent else "of a straight path"
        return False, f"{'first order, ' if bent else ''}the mean over positions: the gain {way} differs"
    if bent and all(tag in SWITCHES for tag in bent):
        return False, f"exact while nothing switches: {', '.join(dict.fromkeys(bent))}"
    if bent and bent != ["through time"]:
        return False, f"first order: {', '.join(dict.fromkeys(bent))}"
    where = []
    if any(set(other.slots) & set(connection.slots) for other in same):
        where.append("where it is heard on this path")
    if bent:
        where.append("at steps after the first, if the unit changes at every step")
    if _padded(layer, cells):
        where.append("at positions that read no padding")
    return True, " ".join(["exact", *where])


def _padded(layer: LayerInfo, cells: Population) -> bool:
    """Whether some positions read the zeros that a convolution puts around what it is given."""
    if np.prod(kernel_of(cells)) <= 1:
        return False
    padding, mode = layer.config.get("padding", 0), layer.config.get("padding_mode", "zeros")
    around = padding if isinstance(padding, (tuple, list)) else (padding,)
    return bool(layer.config.get("transposed")) or (
        mode == "zeros" and any(side not in (0, "valid") for side in around)
    )

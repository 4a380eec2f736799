"""Who listens to whom in a network, all of it at once: a sparse table that is asked in neurons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import RunError
from ..flow.cells import NETWORK_INPUT, Cells
from ..flow.edges import Traced
from ..model import Model
from ..parts.tree import Column, Heading, Page, Part, Table, Text
from ..shown import Shown
from .feeds import Sources
from .index import Index
from .listeners import Link, Outgoing, reader_address
from .places import Ints
from .targets import targets
from .united import differs, united

__all__ = ["Wiring", "refuse_stale", "traced"]

NOTES = 12
"""How many notes are shown."""
W = TypeVar("W", bound="Wiring")


def traced(model: Model, x: Any, numbers: bool = True) -> Traced:
    """Every connection that a run on `x` shows. Without `numbers` nothing is computed, and there are no gains.

    Raises RunError for a network that cannot run, or whose runs cannot be followed.
    """
    runner = model.runner
    if runner is None:
        hint = "open the live network, or load a wiring that was saved of it: net.wiring(load=...)"
        raise RunError(f"{model.source} is a file: it holds weights but cannot run", hint)
    trace = getattr(runner, "trace", None)
    if trace is None:
        what = f"runs of {model.framework} networks cannot be followed from layer to layer"
        hint = "PyTorch, Keras and ONNX networks can; where the next layer is known: net[...].slot(i)"
        raise RunError(what, hint)
    refuse_stale(model)
    found: Traced = trace(Cells(model), x, numbers)
    return found


def refuse_stale(model: Model) -> None:
    """Raise KindError where an array has another shape than when the network was opened, or is another layer's by now:
    then its neurons are others, and would be missed."""
    for array in model.arrays.values():
        if array.role == "parameter" and array.size:
            array.read((0,) * len(array.shape))


class Wiring(Shown):
    """The connections of a network on the inputs that it was traced with: `len()` is how many are direct.

    A connection is a source neuron, an array of weights that reads it, a slot of that array, and a path. It is direct
    where the neuron's own value gets there (passed on, scaled, summed with others), and mixed where it gets there only
    in a mixture of many (the statistic of a norm, the scores of an attention); mixed ones are kept group by group.

    `a | b` unites the wirings of one network on several inputs.
    """

    def __init__(self, found: Traced) -> None:
        self.traced = found
        self._index = Index(found)

    @classmethod
    def of(cls: type[W], model: Model, x: Any, numbers: bool = True) -> W:
        """Trace a network on `x`. Raises RunError where that cannot be done."""
        return cls(traced(model, x, numbers))

    @property
    def model(self) -> Model:
        return self._index.model

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers whose neurons ran."""
        labels = np.unique(self.traced.ran)
        blocks = [block for block in self.traced.cells.blocks if not block.text]
        first, last = (np.searchsorted(labels, [b.start + b.count * end for b in blocks]) for end in (0, 1))
        return tuple(dict.fromkeys(b.layer for b, some in zip(blocks, last > first, strict=True) if some))

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the trail may have been lost, by name."""
        return self.traced.notes

    def outgoing(self, neurons: Any) -> Outgoing:
        """Who hears some neurons: an address, or what `net[...]` gives.

        Raises AddressError as an address does, and KindError for what is no source: a norm's neurons.
        """
        return Outgoing(self._index, targets(self._index, neurons))

    def sources(self, neurons: Any) -> Sources:
        """Whom some neurons hear: an address, or what `net[...]` gives. Raises as `outgoing` does."""
        return Sources(self._index, targets(self._index, neurons))

    def strongest(self, neurons: Any, most: int = 10, side: Literal["out", "in"] = "out") -> tuple[Link, ...]:
        """The connections of some neurons with the largest weight x gain: to whom hears them, or `side="in"` from
        whom they hear."""
        if side not in ("out", "in"):
            raise ValueError(f"side is 'out' or 'in', not {side!r}")
        found: Outgoing | Sources = self.outgoing(neurons) if side == "out" else self.sources(neurons)
        return found.strongest(most)

    def unheard(self) -> tuple[str, ...]:
        """The addresses of neurons that ran, that no weights read, and that do not reach the network's output."""
        traced = self.traced
        used = sorted({row.group for row in traced.mixed})
        heard = [traced.source, traced.outputs, *(traced.groups[group] for group in used)]
        return tuple(self._texts(self._mask(np.concatenate(heard)), without=True))

    def deaf(self) -> tuple[str, ...]:
        """The addresses of neurons that ran and hear no other, nor themselves: only the network's input, or a table."""
        cells = self.traced.cells
        hears = np.ones(cells.count + 1, bool)
        for block in cells.blocks:
            if not block.text and not block.array:
                hears[block.start : block.start + block.count] = self._hear(block.layer, block.population, block.count)
        return tuple(self._texts(hears, without=True))

    def __len__(self) -> int:
        return len(self.traced.source)

    def __bool__(self) -> bool:
        return True

    def __or__(self: W, other: Wiring) -> W:
        """The connections of both: `gain` the mean over all that both saw, `low` and `high` the extremes."""
        if not isinstance(other, Wiring):
            return NotImplemented
        return type(self)(united(self.traced, other.traced))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same connections, gains and notes, of networks that are built alike."""
        if not isinstance(other, Wiring):
            return NotImplemented
        return not differs(self.traced.cells, other.traced.cells) and _same(self.traced, other.traced)

    __hash__ = None  # type: ignore[assignment]

    def page(self) -> Page:
        columns = (
            Column("heard by"),
            Column("array"),
            Column("slots", "right"),
            Column("neurons heard", "right"),
            Column("connections", "right"),
            Column("in mixtures", "right"),
        )
        rows = tuple(self._totals())
        caption = f"{self.model.source}: {len(self):,} direct connections"
        total = ("total", "", None, None, len(self), sum(row[-1] for row in rows))
        parts: list[Part] = [Heading("wiring"), Table(columns, rows, caption, (total,))]
        parts += [Text(f"note: {note}") for note in self.notes[:NOTES]]
        if len(self.notes) > NOTES:
            parts.append(Text(f"and {len(self.notes) - NOTES:,} more notes"))
        return Page(tuple(parts))

    def _totals(self) -> Iterator[tuple[Any, ...]]:
        """One row for each array that hears something."""
        t = self.traced
        count = len(t.cells.readers)
        direct = np.bincount(t.reader, minlength=count)
        pairs = np.unique(np.stack([t.reader, t.source]), axis=1) if len(self) else np.zeros((2, 0), np.int64)
        heard = np.bincount(pairs[0], minlength=count)
        mixed = [0] * count
        for row in t.mixed:
            mixed[row.reader] += len(row.slots) * len(t.groups[row.group])
        for n in np.argsort(self._index.rank).tolist():
            reader = t.cells.readers[n]
            if direct[n] or mixed[n]:
                where = reader_address(self.model, reader)
                yield where, reader.word, reader.slots, int(heard[n]), int(direct[n]), mixed[n]

    def _mask(self, labels: Ints) -> npt.NDArray[np.bool_]:
        found = np.zeros(self.traced.cells.count + 1, bool)
        found[labels] = True
        return found

    def _texts(self, mask: npt.NDArray[np.bool_], *, without: bool) -> Iterator[str]:
        """The addresses of the neurons that ran and that a mask leaves out."""
        cells = self.traced.cells
        for label in np.unique(self.traced.ran).tolist():
            if mask[label] != without and not cells.of(label).text:
                yield cells.text(label)

    def _hear(self, layer: str, population: str, count: int) -> npt.NDArray[np.bool_]:
        """Which neurons of a population read a slot that some neuron feeds, or whose origin is not known."""
        found = np.zeros(count, bool)
        cells = self.model.layers[layer].populations[population]
        numbers = np.arange(count)
        at = {a.name: numbers // (cells.strides[a.name] or 1) % (a.size or 1) for a in cells.axes}
        for reader in self._index.of_population.get((layer, population), ()):
            fed = self._fed(reader.number)
            own = [name for name, _ in reader.axes if name in at]
            shape = [size for name, size in reader.axes if name in own]
            lead = fed.reshape(*shape, -1).any(axis=-1)
            here = np.ones(count, bool)
            for axis, number in (reader.placed.at if reader.placed is not None else {}).items():
                here &= at.get(axis, np.full(count, number)) == number
            found |= here & np.asarray(lead)[tuple(at[name] for name in own)]
        return found

    def _fed(self, reader: int) -> npt.NDArray[np.bool_]:
        """Which slots of a reader are fed by anything but the network's input."""
        t, slots = self.traced, self.traced.cells.readers[reader].slots
        fed = np.zeros(slots, bool)
        rows = self._index.feeding(reader, range(slots))
        fed[t.slot[rows[self._known[t.source[rows]]]]] = True
        for row, kept in self._index.mixed_into(reader, range(slots)):
            if self._known[t.groups[row.group]].any():
                fed[kept] = True
        return fed

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        """Which labels are more than the network's input: neurons, and origins that are not known."""
        found = np.ones(self.traced.cells.count + 1, bool)
        for block in self.traced.cells.blocks:
            if block.text == NETWORK_INPUT:
                found[block.start : block.start + block.count] = False
        return found


def _same(a: Traced, b: Traced) -> bool:
    """Whether two traces say the same, whatever the order of their rows and the numbers of their paths."""
    if len(a.source) != len(b.source) or a.notes != b.notes or a.within != b.within or _mixed(a) != _mixed(b):
        return False
    if not all(np.array_equal(np.unique(getattr(a, name)), np.unique(getattr(b, name))) for name in ("outputs", "ran")):
        return False
    (names, rows), (others, theirs) = _sorted(a), _sorted(b)
    if names != others:
        return False
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(rows, theirs, strict=True))


def _sorted(t: Traced) -> tuple[list[tuple[str, ...]], list[npt.NDArray[Any]]]:
    """The paths that are used, in order, and the columns in an order that follows from what they say."""
    names = sorted({t.tag_names[tag] for tag in np.unique(t.tags)})
    rank = {name: number for number, name in enumerate(names)}
    tags = np.array([rank.get(name, -1) for name in t.tag_names] or [0])[t.tags]
    rows = np.lexsort((tags, t.slot, t.reader, t.source))
    columns = (t.source, t.reader, t.slot, tags, t.gain, t.low, t.high, t.count)
    return names, [column[rows] for column in columns]


def _mixed(t: Traced) -> set[tuple[bytes, int, tuple[str, ...], bytes]]:
    rows = ((t.groups[row.group], row) for row in t.mixed)
    return {(group.tobytes(), row.reader, t.tag_names[row.tags], np.sort(row.slots).tobytes()) for group, row in rows}

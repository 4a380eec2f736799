"""Merge twins into one neuron, and split a neuron into two: the network gives what it gave, and that is proved on data.

Twins have the same weights and bias, or all of those of one are a positive multiple of the other's and what follows is
as linear as a ReLU. The second goes; each of those who read it reads that much more of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Array
from .closure import Closure
from .cutting import Cutting
from .errors import EditError
from .flow.cells import Reader
from .model import LayerInfo, Model, Neurons, Population
from .parts.tree import Fields, Heading, Page
from .plan import Blend, Change, Take, Work
from .proof import Allowed, Saved, carried_out, counted
from .regular import Shears
from .remove import labels_of
from .shown import Shown
from .wiring.table import traced

__all__ = ["Merging", "Splitting", "merging", "splitting"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
HOMOGENEOUS = frozenset(
    {"relu", "leaky_relu", "prelu", "flatten", "concat", "pool:max", "pool:mean", "dropout", "scale", "upsample"}
)
"""Words of a path along which a neuron that gives c times as much, c > 0, is heard c times as much."""


@dataclass(eq=False, repr=False)
class _Resizing(Shown):
    """Work that leaves what the network returns as it is, and says what it is."""

    model: Model
    x: Any
    work: Work
    what: str
    said: Sequence[str]
    hint: str
    changed: Callable[[], None] = field(default=lambda: None)

    def apply(self, optimizer: Any = None) -> Saved:
        """Do it. The network runs on the plan's input before and after; where the output differs by more than
        rounding everything is put back and EditError is raised. The state of an optimizer that is given follows."""
        return carried_out(self, f"after the {self.what}", Allowed(None, 1.0, self.hint), optimizer)

    def page(self) -> Page:
        before, after = counted(self.model, self.work)
        rows: list[tuple[str, object]] = [("parameters", f"{before:,} now, {after:,} afterwards")]
        return Page((Heading(self.what), Fields((*rows, *(("", line) for line in self.said)))))


class Merging(_Resizing):
    """Twins that become one neuron: `factors` say how many times each of the others gives what the first gives."""

    factors: tuple[float, ...] = ()


class Splitting(_Resizing):
    """A neuron that becomes two, which share what was heard of it. The new one is the last of its layer."""


def merging(model: Model, neurons: Neurons, x: Any, changed: Callable[[], None] = lambda: None) -> Merging:
    """Plan to merge neurons of one layer into the first of them. Nothing is changed.

    Raises EditError where they are no twins: their weights and biases are not proportional by a positive factor, it is
    not 1 and something on the way to those who read them is not homogeneous, or someone reads them with others.
    """
    closure = _closure(model, x)
    wanted = labels_of(closure, neurons)
    if len(wanted) < 2 or len(set(wanted.tolist())) < len(wanted):
        raise EditError("twins are two or more neurons of one layer", 'net["fc1[3,7]"].merge(x)')
    first, others = int(wanted[0]), wanted[1:]
    factors = [_factor(model, closure, first, int(other)) for other in others]
    closure.take(others)
    closure.close()
    if closure.why:
        label, why = next(iter(closure.why.items()))
        raise EditError(
            f"{closure.cells.text(int(others[0]))} cannot be merged away alone: {closure.cells.text(label)} would have "
            f"to go too, because {why}",
            "neurons that are heard together with others cannot be merged",
        )
    blends = [b for other, c in zip(others, factors, strict=True) for b in _blends(closure, first, int(other), c)]
    work = Cutting(closure).work()
    names = [closure.cells.text(int(label)) for label in wanted]
    said = [f"{name} is {_times(c)}{names[0]}" for name, c in zip(names[1:], factors, strict=True)]
    made = Merging(
        model, x, Work([*blends, *work.changes], work.settings, work.layers),
        f"merging of {', '.join(names[1:])} into {names[0]}", said, "they are no twins on this path", changed,
    )  # fmt: skip
    made.factors = tuple(factors)
    return made


def splitting(
    model: Model, neurons: Neurons, x: Any, share: float = 0.5, changed: Callable[[], None] = lambda: None
) -> Splitting:
    """Plan to split a neuron: a copy of it becomes the last of its layer, and is heard with `1 - share` of its weights.

    Raises EditError for neurons in groups, heads, experts or stacks, which would be unequal, and for one that is heard
    together with others (a residual sum), or is part of what the network returns.
    """
    closure = _closure(model, x)
    wanted = labels_of(closure, neurons)
    if len(wanted) != 1:
        raise EditError(f"one neuron is split at a time, not {len(wanted)}", "for n in selection: n.split(x)")
    label = int(wanted[0])
    name = closure.cells.text(label)
    layer_name, population, number = closure.cells.neuron(label)
    layer = model.layers[layer_name]
    cells = layer.populations[population]
    _refuse_split(closure, layer, cells, label, name)
    changes = list(_grown(closure, cells, label, number, share))
    touched = {change.path for change in changes}
    layers = [
        one.name for one in model.layers.values() if any(a.path in touched or touched & set(a.tied) for a in one.arrays)
    ]
    said = [f"{name} keeps {share:g} of what is heard of it, the new one has {1 - share:g}"]
    hint = "a norm's statistic, or the code of the network, counts the neurons"
    return Splitting(model, x, Work(changes, (), layers), f"split of {name}", said, hint, changed)


def _closure(model: Model, x: Any) -> Closure:
    if not hasattr(model.keeper, "resize"):
        raise EditError(f"only live PyTorch modules change their size, not {model.source}", "load it in torch")
    return Closure(model, traced(model, x))


def _times(factor: float) -> str:
    return "a duplicate of " if factor == 1 else f"{factor:g} times "


def _own(model: Model, closure: Closure, label: int) -> npt.NDArray[np.float64]:
    """Every number that enters a neuron: its weights and biases, without what says how it is heard by its own layer."""
    layer_name, population, number = closure.cells.neuron(label)
    cells = model.layers[layer_name].populations[population]
    coords = cells.coords(number)
    parts = []
    for placed in cells.placed:
        if all(coords.get(axis, at) == at for axis, at in placed.at.items()):
            for key in placed.layout.keys(coords):
                parts.append(np.ravel(model.runner.numpy(placed.array.read(key))))
    return np.concatenate(parts)


def _factor(model: Model, closure: Closure, first: int, other: int) -> float:
    """How many times the one's numbers the other's are. Raises EditError where they are not, or not alike heard."""
    one, two = _own(model, closure, first), _own(model, closure, other)
    names = closure.cells.text(first), closure.cells.text(other)
    square = float(one @ one)
    factor = float(one @ two) / square if square else 1.0
    room = 1e-6 * max(float(np.abs(two).max(initial=0.0)), 1e-30)
    apart = float(np.abs(two - factor * one).max(initial=0.0))
    if np.abs(two - one).max(initial=0.0) <= room:
        factor, apart = 1.0, 0.0
    if apart > room or factor <= 0:
        found = (
            f"the nearest is {factor:.3g} times, off by {apart:.3g}" if apart > room else f"they are {factor:.3g} times"
        )
        raise EditError(
            f"{names[1]} is no twin of {names[0]}: {found}", "twins have equal or positively proportional weights"
        )
    _alike(model, closure, first, other, factor)
    return factor


def _alike(model: Model, closure: Closure, first: int, other: int, factor: float) -> None:
    """What lies on their paths must be the same for both; and homogeneous, where one gives another multiple."""
    names = closure.cells.text(first), closure.cells.text(other)
    traced = closure.traced
    for touch in traced.touches:
        mine = [np.unique(touch.index[touch.label == label]) for label in (first, other)]
        array = model.arrays.get(touch.path)
        if array is None or not (len(mine[0]) or len(mine[1])):
            continue
        numbers = model.runner.numpy(array.read())
        values = [np.take(numbers, index, touch.axis) for index in mine]
        if values[0].shape != values[1].shape or not np.array_equal(values[0], values[1]):
            raise EditError(f"{touch.path} is another for {names[1]} than for {names[0]}", "they are heard differently")
    if factor == 1:
        return
    layer, population, _ = closure.cells.neuron(first)
    kind = model.layers[layer].kind
    if kind is not None and kind.family == "recurrent" and not population:
        raise EditError(
            f"{names[1]} is {factor:.3g} times {names[0]}, and what a unit gives is not linear in its weights",
            "units are twins where their weights are the same",
        )
    for label in (first, other):
        words = {word for tag in np.unique(traced.tags[traced.source == label]) for word in traced.tag_names[tag]}
        if strange := sorted(words - HOMOGENEOUS):
            raise EditError(
                f"{names[1]} is {factor:.3g} times {names[0]}, and {strange[0]} on the way is not linear in that",
                "only a ReLU and what is linear pass a multiple on as it is",
            )


def _blends(closure: Closure, first: int, other: int, factor: float) -> Iterator[Blend]:
    """Who reads the second reads that much more of the first."""
    for reader in closure.cells.readers:
        mine, theirs = (_slots(closure, reader, label) for label in (first, other))
        if not len(mine) and not len(theirs):
            continue
        name = reader.path
        if len(mine) != len(theirs):
            raise EditError(f"{name} reads them at {len(mine)} and {len(theirs)} slots", "they are heard differently")
        _alone(closure, reader, mine, first)
        to, of = (_stored(closure, reader, slots) for slots in (mine, theirs))
        assert reader.placed is not None
        yield Blend(name, to[0], to[1], of[1], np.full(len(to[1]), factor))


def _slots(closure: Closure, reader: Reader, label: int) -> Ints:
    """The slots of a reader that hear a neuron, in order; of a recurrent layer its own state too."""
    traced = closure.traced
    slots = traced.slot[(traced.reader == reader.number) & (traced.source == label)]
    block = closure.cells.of(label)
    if reader.placed is not None and reader.axes[0][0] in ("from", "unit") and reader.layer == block.layer:
        layer = closure.model.layers[reader.layer]
        name = "proj" if reader.axes[0][0] == "from" and "proj" in layer.populations else ""
        strides = layer.populations[name].strides
        start = sum(strides[axis] * at for axis, at in reader.placed.at.items() if axis in strides)
        own = label - block.start - start
        if block.population == name and 0 <= own < reader.slots:
            slots = np.append(slots, own)
    return np.unique(slots)


def _alone(closure: Closure, reader: Reader, slots: Ints, label: int) -> None:
    """Raise EditError where someone else is heard at one of these slots too."""
    traced = closure.traced
    here = (traced.reader == reader.number) & np.isin(traced.slot, slots) & (traced.source != label)
    if here.any():
        other = closure.cells.text(int(traced.source[here][0]))
        raise EditError(
            f"{reader.path} hears {other} together with {closure.cells.text(label)}",
            "what is added to others, or multiplied with them, has no slot of its own",
        )


def _stored(closure: Closure, reader: Reader, slots: Ints) -> tuple[int, Ints]:
    """The stored axis of slots and where they lie on it. Raises EditError where a group alone reads there."""
    if reader.placed is None:
        raise EditError(f"{reader.path} is of no known kind", 'patchclamp.register("my.Layer", weight="neuron in")')
    gone = np.zeros(reader.slots, bool)
    gone[slots] = True
    shears = Shears(reader.placed.array)
    shears.slots(reader, gone)
    return _one_axis(shears)


def _one_axis(shears: Shears) -> tuple[int, Ints]:
    takes = list(shears.takes())
    if len(takes) != 1 or takes[0].by is not None:
        raise EditError(
            f"{shears.array.path} has groups, each of which reads channels of its own", "this is not known of groups"
        )
    length = shears.array.shape[takes[0].axis]
    return takes[0].axis, np.setdiff1d(np.arange(length), takes[0].index)


def _refuse_split(closure: Closure, layer: LayerInfo, cells: Population, label: int, name: str) -> None:
    traced = closure.traced
    if label not in traced.ran:
        raise EditError(f"{name} did not run on this input", "give an input on which every layer runs")
    if any(axis.size > 1 for axis in cells.axes[:-1]):
        outer = next(axis.name for axis in cells.axes[:-1] if axis.size > 1)
        raise EditError(
            f"{name} is one of a {outer}, and the others would have one less", "each must have equally many"
        )
    parts = [part for heads in closure.heads for part in (*heads.queries, *heads.shared)]
    if any(label in part for part in parts):
        raise EditError(f"{name} is of an attention head, and the others would have one less", "heads have one width")
    if label in traced.outputs:
        raise EditError(
            f"{name} is part of what the network returns, which would have another size", "split one before"
        )


def _grown(closure: Closure, cells: Population, label: int, number: int, share: float) -> Iterator[Change]:
    """What each array gains: a copy of the neuron's own numbers, of its norms' channels, and shared slots."""
    last = label - number + len(cells) - 1
    rows: list[tuple[Array, tuple[int, Ints], tuple[int, Ints]]] = []
    for placed in cells.placed:
        both = []
        for one in (number, len(cells) - 1):
            shears = Shears(placed.array)
            shears.neurons(cells, placed, np.arange(len(cells)) == one)
            both.append(_one_axis(shears))
        rows.append((placed.array, both[0], both[1]))
    for array, (axis, mine), (_, end) in rows:
        yield _copied(array, axis, mine, end, None)
    for reader in closure.cells.readers:
        mine, end = _slots(closure, reader, label), _slots(closure, reader, last)
        if not len(mine):
            continue
        _alone(closure, reader, mine, label)
        if len(mine) != len(end):
            raise EditError(f"{reader.path} reads the last of its layer at other places", "this is not known")
        axis, places = _stored(closure, reader, mine)
        assert reader.placed is not None
        yield _copied(reader.placed.array, axis, places, _stored(closure, reader, end)[1], share)
    yield from _norms(closure, label, last)


def _norms(closure: Closure, label: int, last: int) -> Iterator[Change]:
    arrays, done = closure.model.arrays, set()
    for touch in closure.traced.touches:
        array = arrays.get(touch.path)
        if array is None or array.shape[touch.axis] == 1 or (touch.path, touch.axis) in done:
            continue
        mine, end = (np.unique(touch.index[touch.label == one]) for one in (label, last))
        met = np.isin(touch.index, mine) & (touch.label != label)
        if len(mine) and len(mine) == len(end) and (label == last or not met.any()):
            done.add((touch.path, touch.axis))
            yield _copied(array, touch.axis, mine, end, None)


def _copied(array: Array, axis: int, mine: Ints, end: Ints, share: float | None) -> Take:
    """The axis with a copy of `mine` behind the run of places that `end` ends; shared, if a share is given."""
    index: list[int] = []
    factor: list[float] = []
    waiting: list[int] = []
    copies = dict(zip(end.tolist(), mine.tolist(), strict=True))
    shared = set(mine.tolist())
    for place in range(array.shape[axis]):
        index.append(place)
        factor.append(share if share is not None and place in shared else 1.0)
        if place in copies:
            waiting.append(copies[place])
        if waiting and place + 1 not in copies:
            index += waiting
            factor += [1.0 if share is None else 1 - share] * len(waiting)
            waiting = []
    return Take(array.path, axis, np.array(index, np.int64), None, None if share is None else np.array(factor))

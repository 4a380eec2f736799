"""Take neurons out of a live network for good: first a plan of what goes and why, then the act, proved on data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .address import Address, Step
from .closure import Closure
from .cutting import Cutting, Row
from .errors import AddressError, EditError, KindError, nearest
from .fold import folded
from .locate import address_of
from .model import Model, Neurons, plural
from .parts.tree import Column, Fields, Heading, Page, Table
from .plan import Answer, Work
from .proof import Allowed, Saved, carried_out, counted
from .regular import Shears
from .shown import Shown
from .views import source
from .wiring.table import traced

__all__ = ["Removal", "Saved", "removal"]

Ints = npt.NDArray[np.int64]
_MIXED = "a norm's statistic or another mixture counts it: exact=False takes it out all the same"
_PLACES = "the network's code counts on the place of each neuron, as a shuffle of channels does"
_REROUTED = "the router chooses among the experts that are left: the output need not be that of before"
_MOST = 12
"""How many partners an error names."""


@dataclass(eq=False, repr=False)
class Removal(Shown):
    """What a removal would take, and why. Nothing is changed before `apply`.

    rows      each array that loses something: its path, the axis, how many of how many, why
    partners  addresses of the neurons that go along and were not asked for
    """

    model: Model
    x: Any
    asked: str
    work: Work
    rows: Sequence[Row]
    partners: Sequence[str]
    read: Sequence[Shears]
    exact: bool = True
    rerouted: bool = False
    folds: bool = False
    mixed: bool = False
    changed: Callable[[], None] = field(default=lambda: None)
    done: bool = False

    @property
    def parameters(self) -> tuple[int, int]:
        """How many parameters the network has now, and would have."""
        return counted(self.model, self.work)

    def apply(self, optimizer: Any = None) -> Saved:
        """Take it out, and prove it on the plan's input: what is left must return what the network returned at its old
        size where nobody heard what went, up to rounding; otherwise everything is put back and EditError is raised.

        optimizer   one or several whose state follows, and which train what is there afterwards; False leaves any
                    optimizer that trains these arrays as it is

        Raises EditError, with nothing changed, where an array cannot be replaced.
        """
        if self.done:
            raise EditError(f"{self.asked}: this removal is done", "make a new plan: net[...].removal(x)")
        deaf = None if self.rerouted or self.folds else self._deaf()
        loose = self.rerouted or (self.mixed and not self.exact)
        allowed = Allowed(deaf, math.inf if loose else 1.0, _MIXED if self.mixed else _PLACES)
        saved = carried_out(self, f"without {self.asked}", allowed, optimizer)
        self.done = True
        return replace(saved, notes=(*saved.notes, _REROUTED)) if self.rerouted else saved

    def _deaf(self) -> Answer:
        """What the network returns where nobody listens to what goes: at its old size."""
        ledger = self.model.ledger()
        try:
            for shears in self.read:
                for array, key in _keys(self.model, shears):
                    ledger.check(array, key, "zero", None, f"removal of {self.asked}")
                    ledger.change(array, key, "zero", None)
            answer: Answer = self.model.keeper.answer(self.x)
        finally:
            ledger.undo()
        return answer

    def page(self) -> Page:
        before, after = self.parameters
        columns = (
            Column("array"),
            Column("axis", "right"),
            Column("takes", "right"),
            Column("of", "right"),
            Column("why"),
        )
        rows = tuple((row.path, row.axis, row.taken, row.of, row.why) for row in self.rows)
        fields: list[tuple[str, object]] = [
            ("parameters", f"{before:,} now, {after:,} afterwards: {before - after:,} less"),
        ]
        if self.partners:
            fields.append(("go along", _listed(self.partners)))
        return Page((Heading(f"removal of {self.asked}"), Fields(tuple(fields)), Table(columns, rows)))


def removal(
    model: Model, asked: Sequence[Neurons], x: Any, *, changed: Callable[[], None] = lambda: None, **how: bool
) -> Removal:
    """Plan to take neurons out of a live model. Nothing is changed.

    asked     the neurons; a whole expert is all of its hidden neurons
    x         what the network is called with: it is run once to see who reads them
    how       `partners`: take along what must go too, such as what is added to one of these in a residual sum
              `fold`: what a neuron gives whatever the input, a dead one's relu(bias), goes into its readers' bias
              `exact` (True): refuse where a norm's statistic over the remaining neurons would be another

    changed   called when the model has other sizes

    Raises EditError, saying what would be left inconsistent: a partner that was not included, a neuron that the network
    returns, heads or groups that would be unequal, an array that cannot be replaced, a neuron that did not run.
    """
    options = _options(how)
    if not hasattr(model.keeper, "resize"):
        raise EditError(
            f"neurons can be removed from live PyTorch modules, not from {model.source}", "load it in torch"
        )
    found = traced(model, x)
    words = _words(model, asked)
    closure = Closure(model, found)
    wanted = np.concatenate([labels_of(closure, one) for one in asked]) if asked else np.zeros(0, np.int64)
    if not len(wanted):
        raise EditError("no neuron was chosen", "nothing was changed")
    _refuse_silent(closure, wanted)
    closure.take(wanted)
    closure.take_heads()
    closure.close()
    along = _along(closure)
    if along and not options["partners"]:
        _refuse_partners(closure, along, words)
    _refuse_returned(closure, words)
    _refuse_beside_experts(closure, words)
    cutting = Cutting(closure)
    work = cutting.work()
    if options["fold"]:
        work = folded(x, closure, cutting, work)
    mixed = bool(closure.removed[np.concatenate([np.zeros(0, np.int64), *found.groups])].any())
    rerouted, read = bool(closure.dropped.any()), list(cutting.read.values())
    return Removal(
        model, x, words, work, cutting.rows, along, read, options["exact"], rerouted, options["fold"], mixed, changed
    )


def _options(how: Mapping[str, bool]) -> dict[str, bool]:
    known = {"partners": False, "fold": False, "exact": True}
    if unknown := [name for name in how if name not in known]:
        raise EditError(f"a removal has no option {unknown[0]!r}", nearest(unknown[0], known))
    return {**known, **how}


def labels_of(closure: Closure, neurons: Neurons) -> Ints:
    """The labels of neurons. Raises for what is no neuron of its own: a gate, a position, a channel of a norm."""
    what = neurons.layer.name + (f".{neurons.population.name}" if neurons.population.name else "")
    if neurons.position:
        raise AddressError(f"{what} at one position has the weights of all positions", "leave out the @position")
    if neurons.fixed:
        raise AddressError(f"a gate of {what} is part of its unit", "take the unit: leave out the gate")
    if neurons.population.side == "in":
        raise AddressError(f"{what} is what a head gives", f"take the head: {neurons.layer.name}.head[0]")
    held = source(closure.model.layers, neurons)
    try:
        return np.array(closure.cells.labels(held.layer.name, held.population.name, held.numbers), np.int64)
    except KeyError:
        raise KindError(
            f"{what} holds no neurons that weigh: they are {plural(held.population.noun)} of a {held.layer.class_name}",
            "remove the neurons before it: what belongs to them goes with them",
        ) from None


def _words(model: Model, asked: Iterable[Neurons]) -> str:
    """The neurons as an error or a heading names them."""
    found = []
    for one in asked:
        lead = math.prod(axis.size for axis in one.population.lead) if one.population.lead else 0
        each = len(one.population) // max(lead, 1)
        first = one.numbers[0] if len(one.numbers) else 0
        if lead and each > 1 and first % each == 0 and list(one.numbers) == list(range(first, first + each)):
            name = "" if one.population.lead[0].name == "expert" else "head" if lead == one.layer.heads else "kv"
            found.append(model.addresses.text(Address(one.layer.name, (Step(name, (first // each,)),))))
        elif len(one.numbers) == 1:
            found.append(model.addresses.text(address_of(one, one.numbers[0])))
        else:
            name = one.layer.name + (f".{one.population.name}" if one.population.name else "")
            found.append(f"{len(one.numbers)} of {name}")
    return _listed(found)


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST:,} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more


def _refuse_silent(closure: Closure, wanted: Ints) -> None:
    """A neuron that did not run tells nothing of who reads it; of experts that is known by their arrays."""
    routed = closure.routed()
    silent = np.setdiff1d(wanted, np.concatenate((closure.traced.ran, routed)))
    if len(silent):
        name = closure.cells.text(int(silent[0]))
        raise EditError(
            f"{name} did not run on this input, so who reads it is not known",
            "give an input on which every layer of the network runs",
        )
    heard = np.isin(wanted, np.concatenate((closure.traced.source, routed)))
    heard |= np.isin(wanted, np.concatenate([np.zeros(0, np.int64), *closure.traced.groups]))
    if closure.traced.notes and not heard.all():
        name = closure.cells.text(int(wanted[~heard][0]))
        raise EditError(
            f"nobody was seen to read {name}, and the trail was lost: {closure.traced.notes[0]}",
            "who reads it is not known, so it cannot be removed",
        )


def _along(closure: Closure) -> list[str]:
    """What goes and was not asked for; an expert's outputs and its row of the router are part of it."""
    return [closure.cells.text(label) for label in sorted(closure.why) if closure.removed[label]]


def _refuse_partners(closure: Closure, along: Sequence[str], words: str) -> None:
    label, why = next((label, why) for label, why in closure.why.items() if closure.removed[label])
    several = f"{len(along)} neurons" if len(along) > 1 else "a neuron"
    raise EditError(
        f"without {words}, {several} would be left without a partner: {closure.cells.text(label)}, because {why}",
        f"partners=True takes along {_listed(along)}",
    )


def _refuse_returned(closure: Closure, words: str) -> None:
    gone = closure.removed[closure.traced.outputs]
    if gone.any():
        name = closure.cells.text(int(closure.traced.outputs[gone][0]))
        what = name if name in words else f"{name}, which goes with {words},"
        raise EditError(
            f"{what} is part of what the network returns, which would have another size",
            "it can be switched off: with net.edit() as edit: edit[...].zero()",
        )


def _refuse_beside_experts(closure: Closure, words: str) -> None:
    """Without an expert the router chooses anew, so what else goes with it could not be proved."""
    beside = np.setdiff1d(np.flatnonzero(closure.removed), closure.routed())
    if closure.dropped.any() and len(beside):
        name = closure.cells.text(int(beside[0]))
        raise EditError(
            f"{words}: {name} goes with a whole expert, after which the router chooses anew",
            "remove the experts by themselves, then the others",
        )


def _keys(model: Model, shears: Shears) -> Iterator[tuple[Any, Any]]:
    """The keys of what is taken of an array because it reads what goes; of a computed one, of what it is made from:
    the smallest that has these axes, as a direction of length 0 would have no norm."""
    array = shears.array
    if array.role == "computed":
        axes = {*shears.alone, *(axis for pair in shears.pairs for axis in (pair.first, pair.second))}
        made = [model.arrays[path] for path in array.sources]
        made = [one for one in made if len(one.shape) == len(array.shape)]
        alike = [one for one in made if all(one.shape[axis] == array.shape[axis] for axis in axes)]
        array = min(alike, key=lambda one: one.size, default=array)
    for axis, gone in shears.alone.items():
        for place in np.flatnonzero(gone).tolist():
            yield array, (slice(None),) * axis + (place,)
    for pair, flags in shears.pairs.items():
        between = (slice(None),) * (pair.second - pair.first - 1)
        for column in np.flatnonzero(flags.any(0)).tolist():
            for start, stop in _spans(flags[:, column]):
                yield array, ((slice(None),) * pair.first + (slice(start, stop), *between, column))


def _spans(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Runs of true, as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)

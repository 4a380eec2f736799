"""Take neurons out of a live network for good: first a plan that says what goes and why, then the act, proved on data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .closure import Closure
from .cutting import Cutting, Row
from .errors import AddressError, EditError, KindError, RunError, nearest
from .fold import folded
from .flow.cells import Cells
from .flow.edges import Traced
from .locate import address_of
from .model import Model, Neurons
from .plan import Answer, Work
from .regular import Shears
from .shown import Shown
from .parts.tree import Column, Fields, Heading, Page, Table
from .views import source

__all__ = ["Removal", "Saved", "removal"]

Ints = npt.NDArray[np.int64]
TIMED = 3
"""How many forwards are timed before and after; the shortest counts."""
_MOST = 12
"""How many partners an error names."""


@dataclass(frozen=True, repr=False)
class Saved(Shown):
    """What a removal saved: parameters and seconds of a forward, (before, after), and how it changed the output.

    change      the largest change of what the network returns, against the network as it was
    rounding    the largest difference to the same network where nobody listens to what was removed: 0 or rounding
    scale       the largest number that the network returned
    """

    parameters: tuple[int, int]
    seconds: tuple[float, float]
    change: float
    rounding: float
    scale: float
    notes: tuple[str, ...] = ()

    def page(self) -> Page:
        before, after = self.parameters
        slow, fast = self.seconds
        rows: list[tuple[str, object]] = [
            ("parameters", f"{before:,} before, {after:,} after: {1 - after / max(before, 1):.1%} less"),
            ("forward", f"{slow * 1e3:.3g} ms before, {fast * 1e3:.3g} ms after: {slow / max(fast, 1e-12):.2f} x as fast"),
            ("output", f"changed by at most {self.change:.3g} (its largest number is {self.scale:.3g})"),
            ("check", f"{self.rounding:.3g} from the network in which nobody listens to what was removed"),
            *(("note", note) for note in self.notes),
        ]
        return Page((Fields(tuple(rows)),))


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
    changed: Callable[[], None] = field(default=lambda: None)
    done: bool = False

    @property
    def parameters(self) -> tuple[int, int]:
        """How many parameters the network has now, and would have."""
        arrays = self.model.arrays
        stored = [array for array in arrays.values() if array.role == "parameter"]
        made = {path: array.path for array in arrays.values() if array.role == "computed" for path in array.sources}
        before = after = 0
        counted: set[str] = set()
        for array in stored:
            if array.path in counted:
                continue
            counted |= {array.path, *array.tied}
            names = {array.path, *array.tied, made.get(array.path, array.path)}
            shape = list(array.shape)
            for take in self.work.changes:
                if take.path in names and hasattr(take, "index"):
                    shape[take.axis] = take.index.shape[-1]
            before += array.size
            after += math.prod(shape)
        return before, after

    def apply(self, optimizer: Any = None) -> Saved:
        """Take it out. The network runs on the plan's input before and after; where the two differ by more than
        rounding from one another, nobody listening to what goes, everything is put back and EditError is raised.

        optimizer   one or several whose state follows, and which train what is there afterwards; False leaves any
                    optimizer that trains these arrays as it is

        Raises EditError, with nothing changed, where an array cannot be replaced.
        """
        if self.done:
            raise EditError(f"{self.asked}: this removal is done", "make a new plan: net[...].removal(x)")
        keeper, before = self.model.keeper, self.model.keeper.answer(self.x, TIMED)
        deaf = None if self.rerouted else self._deaf()
        counts = self.parameters
        resized = keeper.resize(self.model.arrays, self.work, optimizer)
        try:
            after = self._after()
            change = _difference(before, after)
            rounding = change if deaf is None else _difference(deaf, after)
            self._prove(before, after, rounding)
            self.changed()
        except BaseException:
            resized.undo()
            self.changed()
            raise
        self.done = True
        notes = (*(("experts were chosen anew: the output need not be that of before",) if self.rerouted else ()),)
        scale = max((float(np.abs(one).max(initial=0.0)) for one in before.outputs), default=0.0)
        return Saved(counts, (before.seconds, after.seconds), change, rounding, scale, notes)

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

    def _after(self) -> Answer:
        try:
            after: Answer = self.model.keeper.answer(self.x, TIMED)
        except RunError as error:
            raise EditError(
                f"without {self.asked} the network cannot run: {error.message}; it was put back",
                "its code, or an array of another layer, counts on the size that was there",
            ) from error
        return after

    def _prove(self, before: Answer, after: Answer, rounding: float) -> None:
        if math.isinf(rounding):
            was, now = ([tuple(one.shape) for one in answer.outputs] for answer in (before, after))
            raise EditError(
                f"without {self.asked} the network would return {now}, not {was}; it was put back",
                "it reaches the network's output: leave it, or zero it: edit[...].zero()",
            )
        if self.exact and not self.rerouted and rounding > _tolerance(before):
            raise EditError(
                f"without {self.asked} the output would differ by {rounding:.3g} from that of a network in which nobody "
                "listens to it; it was put back",
                "a norm's statistic or another mixture counts it: exact=False takes it out all the same",
            )

    def page(self) -> Page:
        before, after = self.parameters
        columns = (Column("array"), Column("axis", "right"), Column("takes", "right"), Column("of", "right"), Column("why"))
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
    how       `partners`: take along what must go too, such as the neuron that is added to one of these in a residual sum
              `fold`: what a neuron gives whatever the input (a dead one's relu(bias)) goes on as a bias of those who read it
              `exact` (True): refuse where a norm's statistic over the remaining neurons would be another

    changed   called when the model has other sizes

    Raises EditError, saying what would be left inconsistent: a partner that was not included, a neuron that the network
    returns, heads or groups that would be unequal, an array that cannot be replaced, a neuron that did not run.
    """
    options = _options(how)
    if not hasattr(model.keeper, "resize"):
        raise EditError(f"neurons can be removed from live PyTorch modules, not from {model.source}", "load it in torch")
    traced: Traced = model.runner.trace(Cells(model), x)
    words = _words(model, asked)
    closure = Closure(model, traced)
    wanted = np.concatenate([labels_of(closure, one) for one in asked]) if asked else np.zeros(0, np.int64)
    if not len(wanted):
        raise EditError("no neuron was chosen", "nothing was changed")
    _refuse_silent(closure, wanted, words)
    closure.take(wanted)
    closure.take_heads()
    closure.close()
    along = _along(closure)
    if along and not options["partners"]:
        _refuse_partners(closure, along, words)
    _refuse_returned(closure, words)
    cutting = Cutting(closure)
    work = cutting.work()
    if options["fold"]:
        work = folded(model, x, closure, work)
    rerouted = bool(closure.dropped.any())
    read = list(cutting.read.values())
    return Removal(model, x, words, work, cutting.rows, along, read, options["exact"], rerouted, changed)


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
            f"{what} holds no neurons that weigh: they are {held.population.noun}s of a {held.layer.class_name}",
            "remove the neurons before it: what belongs to them goes with them",
        ) from None


def _words(model: Model, asked: Iterable[Neurons]) -> str:
    """The neurons as an error or a heading names them."""
    found = []
    for one in asked:
        if len(one.numbers) == 1:
            found.append(model.addresses.text(address_of(one, one.numbers[0])))
        else:
            name = one.layer.name + (f".{one.population.name}" if one.population.name else "")
            found.append(f"{len(one.numbers)} of {name}")
    return _listed(found)


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST:,} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more


def _refuse_silent(closure: Closure, wanted: Ints, words: str) -> None:
    """A neuron that did not run tells nothing of who reads it."""
    silent = np.setdiff1d(wanted, closure.traced.ran)
    if len(silent):
        name = closure.cells.text(int(silent[0]))
        raise EditError(
            f"{name} did not run on this input, so who reads it is not known",
            "give an input on which every layer of the network runs",
        )
    heard = np.isin(wanted, closure.traced.source)
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


def _keys(model: Model, shears: Shears) -> Iterator[tuple[Any, Any]]:
    """The keys of what is taken of an array because it reads what goes; of a computed one, of what it is made from."""
    array = shears.array
    if array.role == "computed":
        array = next((model.arrays[path] for path in array.sources if model.arrays[path].shape == array.shape), array)
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


def _difference(one: Answer, other: Answer) -> float:
    """The largest difference; infinite where the two have not the same shapes."""
    if [a.shape for a in one.outputs] != [b.shape for b in other.outputs]:
        return math.inf
    most = 0.0
    for a, b in zip(one.outputs, other.outputs, strict=True):
        with np.errstate(invalid="ignore"):
            gap = np.where(a == b, 0.0, np.abs(np.subtract(a, b, dtype=np.result_type(a, b, np.float64))))
        gap = np.where(np.isnan(a) & np.isnan(b), 0.0, gap)
        most = max(most, float(gap.max(initial=0.0)) if not np.isnan(gap).any() else math.nan)
    return most


def _tolerance(answer: Answer) -> float:
    """Rounding that grew on its way through a network: 1,000 times that of its largest number, at most a twentieth."""
    scale = max((float(np.abs(one).max(initial=0.0)) for one in answer.outputs), default=0.0)
    return min(1000 * answer.roundoff, 0.05) * max(scale, 1e-30)

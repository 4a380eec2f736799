"""Carry out work on a network's arrays and prove on data what became of it; put everything back where it is not so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .arrays import Array
from .errors import EditError, RunError
from .model import Model
from .parts.tree import Fields, Page
from .plan import Answer, Take, Work
from .shown import Shown

__all__ = ["Allowed", "Planned", "Saved", "carried_out", "counted"]

TIMED = 3
"""How many forwards are timed before and after; the shortest counts."""


class Planned(Protocol):
    """Work on a network that can be proved on an input; `changed` is called when the network has other sizes."""

    @property
    def model(self) -> Model: ...

    @property
    def x(self) -> Any: ...

    @property
    def work(self) -> Work: ...

    @property
    def changed(self) -> Callable[[], None]: ...


@dataclass(frozen=True, eq=False)
class Allowed:
    """What the network must return afterwards: what `like` is (None: what it returned before), but for so many times
    the rounding that is expected; `hint` says what to do where it does not."""

    like: Answer | None = None
    times: float = 1.0
    hint: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Saved(Shown):
    """What a change of size did: parameters and seconds of a forward, (before, after), and how the output changed.

    change      the largest change of what the network returns, against the network as it was
    rounding    the largest difference to what it must return; of a removal, to the same network at its old size where
                nobody listens to what was removed: 0, or rounding
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
        part = (after - before) / max(before, 1)
        rows: list[tuple[str, object]] = [
            ("parameters", f"{before:,} before, {after:,} after: {part:+.1%}"),
            ("forward", f"{slow * 1e3:.3g} ms before, {fast * 1e3:.3g} ms after"),
            ("output", f"changed by at most {self.change:.3g}, where its largest number is {self.scale:.3g}"),
            ("check", f"{self.rounding:.3g} from what it must return"),
            *(("note", note) for note in self.notes),
        ]
        return Page((Fields(tuple(rows)),))


def carried_out(planned: Planned, what: str, allowed: Allowed, optimizer: Any = None) -> Saved:
    """Do the work and compare. Raises EditError, with everything as it was, where the network cannot run any more,
    returns other shapes, or differs by more than rounding from what it must return."""
    keeper = planned.model.keeper
    counts = counted(planned.model, planned.work)
    before: Answer = keeper.answer(planned.x, TIMED)
    resized = keeper.resize(planned.model.arrays, planned.work, optimizer)
    try:
        after = _after(keeper, planned.x, what)
        change = difference(before, after)
        gap = change if allowed.like is None else difference(allowed.like, after)
        _refuse(before, after, gap, what, allowed)
        planned.changed()
    except BaseException:
        resized.undo()
        planned.changed()
        raise
    return Saved(counts, (before.seconds, after.seconds), change, gap, _scale(before), tuple(resized.notes))


def _after(keeper: Any, x: Any, what: str) -> Answer:
    try:
        after: Answer = keeper.answer(x, TIMED)
    except RunError as error:
        raise EditError(
            f"{what} the network cannot run: {error.message}; it was put back",
            "its code, or an array of another layer, counts on the size that was there",
        ) from error
    return after


def _refuse(before: Answer, after: Answer, gap: float, what: str, allowed: Allowed) -> None:
    if math.isinf(gap):
        was, now = (", ".join(str(tuple(one.shape)) for one in answer.outputs) for answer in (before, after))
        raise EditError(
            f"{what} the network would return {now}, not {was}; it was put back",
            "it reaches the network's output: it can be switched off: with net.edit() as edit: edit[...].zero()",
        )
    if not gap <= _tolerance(before) * allowed.times:
        raise EditError(
            f"{what} the output would differ by {gap:.3g} from what it must be (the largest number is "
            f"{_scale(before):.3g}); it was put back",
            allowed.hint,
        )


def counted(model: Model, work: Work) -> tuple[int, int]:
    """How many parameters a network has before some work and after it."""
    arrays = model.arrays
    made = {path: array.path for array in arrays.values() if array.role == "computed" for path in array.sources}
    before = after = 0
    seen: set[str] = set()
    for array in arrays.values():
        if array.role != "parameter" or array.path in seen:
            continue
        seen |= {array.path, *array.tied}
        names = {array.path, *array.tied, made.get(array.path, array.path)}
        shape = list(array.shape)
        for take in work.changes:
            if isinstance(take, Take) and take.path in names and _along(array, arrays[take.path], take.axis):
                shape[take.axis] = take.index.shape[-1]
        before += array.size
        after += math.prod(shape)
    return before, after


def _along(array: Array, changed: Array, axis: int) -> bool:
    """Whether an array has the axis along which another changes: of a weight_norm the norms may not."""
    return len(array.shape) == len(changed.shape) and array.shape[axis] == changed.shape[axis]


def difference(one: Answer, other: Answer) -> float:
    """The largest difference; infinite where the two have not the same shapes, NaN where one has it and one has not."""
    if [a.shape for a in one.outputs] != [b.shape for b in other.outputs]:
        return math.inf
    most = 0.0
    for a, b in zip(one.outputs, other.outputs, strict=True):
        with np.errstate(invalid="ignore"):
            gap = np.where(a == b, 0.0, np.abs(a.astype(np.result_type(a, np.float64)) - b))
        gap = np.where(np.isnan(a) & np.isnan(b), 0.0, gap)
        most = math.nan if np.isnan(gap).any() else max(most, float(gap.max(initial=0.0)))
    return most


def _scale(answer: Answer) -> float:
    return max((float(np.abs(one).max(initial=0.0)) for one in answer.outputs), default=0.0)


def _tolerance(answer: Answer) -> float:
    """Rounding that grew on its way through a network: 1,000 times that of its largest number, at most a twentieth."""
    return min(1000 * answer.roundoff, 0.05) * max(_scale(answer), 1e-30)

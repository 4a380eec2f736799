"""A ledger for arrays that are read and written through calls: those of Keras, TensorFlow, JAX and ONNX.

Numbers pass as NumPy arrays of the array's own element type, so every bit is kept: NaN payloads and the sign of zero,
too.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..axes import Key
from ..errors import EditError

__all__ = ["Numbers", "Written", "WrittenLedger", "as_numbers"]

Numbers = NDArray[Any]
_NOTHING = "nothing was changed"
_clock = itertools.count(1)


class Written(Protocol):
    """Where an array lives whose framework lends no view of its memory: the storage of an `Array`."""

    @property
    def identity(self) -> Hashable:
        """The same for arrays that are the same memory."""

    def numbers(self, key: Key = ()) -> Numbers:
        """A copy of what stands at a key, in the array's own type."""

    def write(self, key: Key, values: Numbers) -> None:
        """Put numbers of that very type and shape at a key."""

    def why_not(self) -> str:
        """Why it cannot be written; empty if it can."""

    def hold(self) -> Any:
        """The object that holds the numbers now, where another takes its place when it is written; else None."""

    def put_back(self, held: Any) -> None:
        """Make what `hold` gave the object again."""


@dataclass
class _Saved:
    """What stood at a key before it was written; the objects that held the array then, and just after."""

    array: Array
    key: Key
    before: Numbers
    time: int
    held: Any
    after: Any = None

    @property
    def storage(self) -> Written:
        storage: Any = self.array.storage
        return storage  # type: ignore[no-any-return]

    def places(self) -> NDArray[np.intp]:
        """The row-major numbers of its elements."""
        every = np.arange(self.array.size, dtype=np.intp).reshape(self.array.shape)
        return np.asarray(every[self.key]).reshape(-1)


class WrittenLedger:
    """The changes of one edit. Edits may end in any order: what a younger one still holds is left to it.

    `keep` is called with the path that `edit.keep` was given; without one a path is refused.
    """

    gathers = False

    def __init__(self, keep: Callable[[str | None], None] | None = None) -> None:
        self.records: list[_Saved] = []
        self._keep = keep
        _open.add(self)

    def check(self, array: Array, key: Key, verb: str, value: Any, what: str) -> None:
        """Refuse what would be lost, values of another shape, and those that the array's type cannot hold."""
        storage: Any = array.storage
        if array.role == "computed" or (why := storage.why_not()):
            reason = "is computed from other arrays at each run" if array.role == "computed" else why
            raise EditError(f"{what}: {array.path} {reason}", _NOTHING)
        if verb == "freeze":
            return
        now = storage.numbers(key)
        given = as_numbers(0 if verb == "zero" else value, what, array.path)
        if verb == "scale" and given.shape:
            raise EditError(f"{what}: a factor is one number, not {given.shape} of them", _NOTHING)
        if given.shape and given.shape != now.shape:
            raise EditError(f"{what}: {array.path} takes values of shape {now.shape} here, not {given.shape}", _NOTHING)
        changed(now, verb, given, f"{what}: {array.path}")

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        storage: Any = array.storage
        before = storage.numbers(key)
        given = as_numbers(0 if verb == "zero" else value, verb, array.path)
        new = changed(before, verb, given, f"{verb} of {array.path}")
        record = _Saved(array, key, before, next(_clock), storage.hold())
        self.records.append(record)
        storage.write(key, new)
        record.after = storage.hold()

    def mark(self) -> int:
        """A moment: what is saved from now on is later."""
        return next(_clock)

    def undo(self, mark: int = 0) -> None:
        """Put everything since `mark` back, the last first."""
        failed: list[Exception] = []
        while self.records and self.records[-1].time >= mark:
            record = self.records.pop()
            try:
                _put_back(record)
            except Exception as error:
                failed.append(error)
        if failed:
            raise EditError(f"not everything could be put back: {failed[0]}") from failed[0]

    def keep(self, path: str | None) -> None:
        if self._keep is not None:
            self._keep(path)
        elif path is not None:
            raise EditError("the edit of a live network is kept in memory", f"net.save({path!r}) writes a file")
        self.records.clear()

    def saved(self) -> Sequence[tuple[Array, Key, Numbers]]:
        return [(record.array, record.key, record.before) for record in self.records]

    def now(self, array: Array, key: Key) -> Numbers:
        storage: Any = array.storage
        found: Numbers = storage.numbers(key)
        return found


_open: weakref.WeakSet[WrittenLedger] = weakref.WeakSet()


def _put_back(record: _Saved) -> None:
    """Write the old numbers, but leave those to younger edits that these still hold. The old object itself is put back
    where nothing else has written since: then all of its other numbers are as they were, too."""
    storage = record.storage
    others = [other for ledger in _open for other in ledger.records if other.storage.identity == storage.identity]
    younger = sorted((other for other in others if other.time > record.time), key=lambda other: other.time)
    if not younger and record.held is not None and storage.hold() is record.after:
        storage.put_back(record.held)
        return
    if not younger:
        storage.write(record.key, record.before)
        return
    places, old = record.places(), record.before.reshape(-1)
    waiting = np.ones(len(places), dtype=bool)
    heir = younger[0] if record.after is not None and younger[0].held is record.after else None
    for other in younger:
        theirs = other.places()
        _, mine, there = np.intersect1d(places[waiting], theirs, return_indices=True)
        if not len(mine):
            continue
        here = np.flatnonzero(waiting)[mine]
        flat = other.before.reshape(-1).copy()
        flat[there] = old[here]
        other.before, other.held = flat.reshape(other.before.shape), None
        waiting[here] = False
    if not waiting.any():
        if heir is not None:
            heir.held = record.held
        return
    now = storage.numbers(record.key).reshape(-1).copy()
    now[waiting] = old[waiting]
    storage.write(record.key, now.reshape(record.before.shape))


def changed(now: Numbers, verb: str, given: Numbers, what: str) -> Numbers:
    """What a verb makes of numbers, rounded once to their own type. EditError for what that type cannot hold."""
    if verb in ("scale", "add"):
        wide: Any = now.astype(np.complex128 if now.dtype.kind == "c" else np.float64)
        if now.dtype.kind in "iub" and given.dtype.kind in "iub":
            wide = now.astype(object)
        with np.errstate(all="ignore"):
            given = np.asarray(wide * given if verb == "scale" else wide + given)
    if now.dtype.kind in "iub":
        whole = np.asarray(given, dtype=object if given.dtype.kind == "O" else given.dtype)
        fits = given.dtype.kind in "iubO" or bool(np.all(np.isfinite(whole) & (whole == np.trunc(whole))))
        limits = (0, 1) if now.dtype.kind == "b" else (np.iinfo(now.dtype).min, np.iinfo(now.dtype).max)
        if not fits or (whole.size and (whole.min() < limits[0] or whole.max() > limits[1])):
            raise EditError(f"{what} is {now.dtype} and cannot hold these numbers", _NOTHING)
    elif given.dtype.kind == "c" and now.dtype.kind != "c":
        raise EditError(f"{what} is {now.dtype} and cannot hold complex numbers", _NOTHING)
    with np.errstate(all="ignore"):
        new = np.asarray(given).astype(now.dtype)
    return np.array(np.broadcast_to(new, now.shape))


def as_numbers(value: Any, what: str, name: str) -> Numbers:
    """What was given, as NumPy numbers. EditError for anything else."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value if hasattr(value, "numpy") and str(value.dtype) != "torch.bfloat16" else value.float()
    try:
        found = np.asarray(value)
    except Exception as error:
        raise EditError(f"{what}: cannot read the values given ({error})", _NOTHING) from error
    # bfloat16 and 8-bit floats are of NumPy's kind "V"
    if found.dtype.kind in "OSUmM" or (found.dtype.kind == "V" and found.dtype.names):
        shown = repr(value)[:60] if not hasattr(value, "shape") else f"an array of {found.dtype}"
        raise EditError(f"{what}: {name} takes numbers, not {shown}", _NOTHING)
    return found

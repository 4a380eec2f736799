"""Write to torch memory and put it back, bit for bit, in whatever order edits end."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...arrays import Array
from ...axes import Key
from ...errors import EditError, KindError
from .storage import Slot, why_not_writable, writable
from .unchanged import surely

__all__ = ["TorchLedger", "is_edited"]

_Rows = tuple[int, torch.Tensor]
"""An axis, and the indices of scattered rows on it."""
_clock = itertools.count()
_NOTHING = "nothing was changed"


@dataclass(eq=False)
class _Saved:
    """The bytes that stood at a key of an array before a write. `whole` shares the array's memory."""

    array: Array
    key: Key
    whole: torch.Tensor
    before: torch.Tensor
    time: int
    rows: _Rows | None = None

    def alone(self) -> bool:
        """Whether no later edit touched this memory, and it is the network's still."""
        slot = self.array.storage
        assert isinstance(slot, Slot)
        now = slot.stored()
        same = now is not None and now.shape == self.whole.shape and _memory(now) == _memory(self.whole)
        return same and not any(_memory(other.whole) == _memory(self.whole) for other in _younger(self))

    def one_by_one(self) -> list[_Saved]:
        """The same record as one for each row."""
        if self.rows is None:
            return [self]
        axis, index = self.rows
        keys = [(slice(None),) * axis + (row,) for row in index.tolist()]
        parts = zip(keys, self.before.unbind(axis), strict=True)
        return [_Saved(self.array, key, self.whole, before.clone(), self.time) for key, before in parts]

    def view(self) -> torch.Tensor:
        return self.whole[self.key]

    def moved(self) -> torch.Tensor | None:
        """The same place of the network, where it is other memory by now: `model.to(...)`, a state dict assigned."""
        slot = self.array.storage
        assert isinstance(slot, Slot)
        now = slot.stored()
        if now is None or now.shape != self.whole.shape or why_not_writable(slot, self.array.role):
            raise KindError(f"{slot.path} was replaced while it was edited, so the network has other numbers there now")
        return None if _memory(now) == _memory(self.whole) else now.detach()[self.key]


class TorchLedger:
    """What one edit has saved, in order; all ledgers that are not closed know of each other."""

    gathers = True

    def __init__(self) -> None:
        self.records: list[_Saved] = []
        _open.add(self)

    def check(self, array: Array, key: Key, verb: str, value: Any, what: str) -> None:
        """Refuse what would be lost or wrong: see `storage.why_not_writable`, and values of a wrong shape or type."""
        slot = array.storage
        assert isinstance(slot, Slot)
        whole = writable(slot, array.role, what)
        if verb in ("zero", "freeze"):
            return
        view = whole[key]
        given = _values(value, what, array.path)
        if verb == "scale" and given.dim():
            raise EditError(f"{what}: a factor is one number, not {tuple(given.shape)} of them", _NOTHING)
        if given.dim() and given.shape != view.shape:
            raise EditError(
                f"{what}: {array.path} takes values of shape {tuple(view.shape)} here, not {tuple(given.shape)}",
                _NOTHING,
            )
        if not torch.can_cast(given.dtype, view.dtype) or not _holds(view.dtype, given):
            raise EditError(f"{what}: {array.path} is {view.dtype} and cannot hold these {given.dtype}", _NOTHING)

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        slot = array.storage
        assert isinstance(slot, Slot)
        with torch.no_grad():
            whole = slot.tensor().detach()
            if rows := _rows(key, whole.device):
                self._change_rows(array, whole, rows, verb, value)
                return
            view = whole[key]
            self.records.append(_Saved(array, key, whole, view.clone(), next(_clock)))
            if verb == "zero":
                view.zero_()
            elif verb == "set":
                view.copy_(_values(value, verb))
            else:
                _compute(view, verb, _values(value, verb))

    def _change_rows(self, array: Array, whole: torch.Tensor, rows: _Rows, verb: str, value: Any) -> None:
        """Scattered rows in three calls of torch, however many they are."""
        axis, index = rows
        before = whole.index_select(axis, index)
        self.records.append(_Saved(array, (slice(None),) * axis, whole, before, next(_clock), rows))
        if verb == "zero":
            _bits(whole).index_fill_(axis, index, 0)
        else:
            after = before.clone()
            _compute(after, verb, _values(value, verb))
            _bits(whole).index_copy_(axis, index, _bits(after))

    def mark(self) -> int:
        """A moment: what is saved from now on is later."""
        return next(_clock)

    def undo(self, mark: int = 0) -> None:
        """Put everything since `mark` back, the last first. An interrupt waits until all is back."""
        failed: list[Exception] = []
        surely(lambda: self._undo(mark, failed))
        if failed:
            raise EditError(f"not everything could be put back: {failed[0]}") from failed[0]

    def _undo(self, mark: int, failed: list[Exception]) -> None:
        while self.records and self.records[-1].time >= mark:
            try:
                if _tangled(self.records[-1]):
                    _take_apart(_open)
                _put_back(self.records[-1])
            except Exception as error:
                failed.append(error)
            self.records.pop()

    def keep(self, path: str | None) -> None:
        if path is not None:
            raise EditError("the edit of a live network is kept in memory", f"net.save({path!r}) writes a file")
        self.records.clear()

    def saved(self) -> Sequence[tuple[Array, Key, torch.Tensor]]:
        _take_apart([self])
        return [(record.array, record.key, record.before) for record in self.records]

    def now(self, array: Array, key: Key) -> torch.Tensor:
        value: torch.Tensor = array.read(key)
        return value


_open: weakref.WeakSet[TorchLedger] = weakref.WeakSet()


def is_edited(tensor: torch.Tensor) -> bool:
    """Whether an edit is open that would put something back into this memory."""
    return any(_memory(one.whole) == _memory(tensor) for ledger in _open for one in ledger.records)


def _compute(view: torch.Tensor, verb: str, given: torch.Tensor) -> None:
    # torch has no arithmetic on 8-bit floats
    small = view.is_floating_point() and view.element_size() == 1
    wide = view.float() if small else view
    if verb == "scale":
        wide.mul_(given.item())
    else:
        wide.add_(given.to(view).to(wide))
    if small:
        view.copy_(wide)


def _rows(key: Any, device: torch.device) -> _Rows | None:
    """Which axis of a key takes scattered rows, and which."""
    found = next(((axis, index) for axis, index in enumerate(key) if isinstance(index, tuple)), None)
    return None if found is None else (found[0], _index(found[1], device))


@lru_cache(maxsize=16)
def _index(rows: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """The rows as a tensor; the arrays of one layer take the same rows."""
    with torch.inference_mode(False):
        return torch.tensor(rows, device=device)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers: torch cannot index every type (8-bit floats, unsigned integers)."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}.get(tensor.element_size())
    return tensor if whole is None else tensor.view(whole)


def _tangled(record: _Saved) -> bool:
    """Whether scattered rows and other edits have met, so that single rows must be told apart."""
    younger = _younger(record)
    return (record.rows is not None or any(other.rows is not None for other in younger)) and not record.alone()


def _take_apart(ledgers: Iterable[TorchLedger]) -> None:
    """Make every record of scattered rows one for each row: edits that overlap are put back element by element."""
    for ledger in ledgers:
        ledger.records[:] = [part for record in ledger.records for part in record.one_by_one()]


def _put_back(record: _Saved) -> None:
    with torch.no_grad():
        if record.rows is not None:
            _bits(record.whole).index_copy_(*record.rows, _bits(record.before))
            return
        _restore(record.view(), record)
        moved = record.moved()
        if moved is not None:
            _restore(moved, record)


def _restore(view: torch.Tensor, record: _Saved) -> None:
    """Restore one view. Where a younger edit still holds some of its elements, that edit inherits the old bytes."""
    younger = [other for other in _younger(record) if _near(view, other.view())]
    if not younger:
        view.copy_(record.before)
        return
    unit = 1 if any(other.before.dtype != view.dtype for other in younger) else view.element_size()
    mine, old = _offsets(view, unit), _flat(record.before.to(view), unit)
    waiting = torch.ones(len(mine), dtype=torch.bool, device="cpu")
    for other in younger:
        here, there = _common(mine, _offsets(other.view(), unit), waiting)
        flat = _flat(other.before, unit).clone()
        flat[there.to(flat.device)] = old[here.to(old.device)]
        other.before = _unflat(flat, other.before)
        waiting[here] = False
    now = torch.where(waiting.to(view.device)[:, None], old, _flat(view, unit))
    view.copy_(_unflat(now, view))


def _younger(record: _Saved) -> list[_Saved]:
    """What other open edits saved later, the oldest first. (Of its own edit, what is later is back already.)"""
    found = (other for ledger in _open for other in ledger.records if other.time > record.time)
    return sorted(found, key=lambda other: other.time)


def _memory(tensor: torch.Tensor) -> tuple[torch.device, int]:
    return tensor.device, tensor.untyped_storage().data_ptr()


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two views may share elements: the same memory, in ranges that meet."""
    if not one.numel() or not other.numel() or _memory(one) != _memory(other):
        return False
    (first, last), (begin, end) = _range(one), _range(other)
    return first < end and begin < last


def _range(view: torch.Tensor) -> tuple[int, int]:
    """The bytes of its storage that a view lies within."""
    reach = sum((size - 1) * stride for size, stride in zip(view.shape, view.stride(), strict=True))
    begin = int(view.storage_offset())
    return begin * view.element_size(), (begin + reach + 1) * view.element_size()


def _offsets(view: torch.Tensor, unit: int) -> torch.Tensor:
    """The place of every unit (an element, or where types differ a byte) of a view in its storage, row-major."""
    offsets = torch.tensor(int(view.storage_offset()), device="cpu")
    for size, stride in zip(view.shape, view.stride(), strict=True):
        offsets = offsets[..., None] + torch.arange(size, device="cpu") * stride
    parts = view.element_size() // unit
    return (offsets.reshape(-1, 1) * parts + torch.arange(parts, device="cpu")).reshape(-1)


def _flat(value: torch.Tensor, unit: int) -> torch.Tensor:
    """The bytes of a tensor in row-major order, one row a unit."""
    return value.contiguous().reshape(-1).view(torch.uint8).reshape(-1, unit)


def _unflat(flat: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return flat.reshape(-1).view(like.dtype).reshape(like.shape)


def _common(mine: torch.Tensor, theirs: torch.Tensor, waiting: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which units two views share, of those still waiting: their numbers in the one and in the other."""
    order = torch.argsort(theirs)
    found = torch.searchsorted(theirs[order], mine).clamp(max=len(theirs) - 1)
    there = order[found]
    here = torch.nonzero((theirs[there] == mine) & waiting).reshape(-1)
    return here, there[here]


def _values(value: Any, what: str, name: str = "") -> torch.Tensor:
    """What was given as a tensor. Python's floats stay float64: they are rounded once, to the array's own type."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise EditError(f"{what}: the values given are no plain numbers", _NOTHING)
        return value.detach()
    try:
        numbers = np.array(value)
        stray = _stray(numbers) if numbers.dtype.kind in "OSU" else ""
        if not stray:
            return torch.from_numpy(numbers)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise EditError(f"{what}: cannot read the values given ({error})", _NOTHING) from error
    raise EditError(f"{what}: {name} takes numbers, not {stray}", _NOTHING)


def _stray(values: Any) -> str:
    """The first thing in an array of objects or text that is no number of torch's."""
    for value in values.flat:
        if value is None or isinstance(value, (str, bytes)):
            return repr(value if value is None else value[:40])
        if not isinstance(value, (int, float, complex)):
            return f"{type(value).__name__} objects"
    return "integers of more than 64 bits"


def _holds(dtype: torch.dtype, given: torch.Tensor) -> bool:
    """Whether integers fit; what a float type cannot hold becomes infinite there, as torch does it."""
    if dtype.is_floating_point or dtype.is_complex:
        return True
    return bool((given.to(dtype).to(given.dtype) == given).all())

"""Write to torch memory and put it back, bit for bit, in whatever order edits end."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from .storage import Slot, writable

__all__ = ["TorchLedger"]

_clock = itertools.count()


@dataclass(eq=False)
class _Saved:
    """The bytes that stood at a key of an array before a write. `whole` shares the array's memory."""

    array: Array
    key: Key
    whole: torch.Tensor
    before: torch.Tensor
    time: int

    def view(self) -> torch.Tensor:
        return self.whole[self.key]

    def memory(self) -> tuple[torch.device, int]:
        return self.whole.device, self.whole.untyped_storage().data_ptr()


class TorchLedger:
    """What one edit has saved, in order; all ledgers that are not closed know of each other."""

    def __init__(self) -> None:
        self.records: list[_Saved] = []
        _open.add(self)

    def check(self, array: Array, key: Key, value: Any, what: str) -> None:
        """Refuse what would be lost or wrong: see `storage.why_not_writable`, and values of a wrong shape or type."""
        slot = array.storage
        assert isinstance(slot, Slot)
        view = writable(slot, array.role, what)[key]
        if value is None:
            return
        given = _values(value, what)
        if given.dim() and tuple(given.shape) != tuple(view.shape):
            raise EditError(
                f"{what}: {array.path} takes values of shape {tuple(view.shape)} here, not {tuple(given.shape)}",
                "nothing was changed",
            )
        if not torch.can_cast(given.dtype, view.dtype):
            raise EditError(
                f"{what}: {array.path} is {view.dtype} and cannot hold {given.dtype}", "nothing was changed"
            )

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        slot = array.storage
        assert isinstance(slot, Slot)
        whole = slot.tensor().detach()
        view = whole[key]
        self.records.append(_Saved(array, key, whole, view.clone(), next(_clock)))
        with torch.no_grad():
            if verb == "zero":
                view.zero_()
            elif verb == "scale":
                view.mul_(value)
            elif verb == "set":
                view.copy_(_values(value, verb))
            else:
                view.add_(_values(value, verb).to(view))

    def undo(self) -> None:
        """Put everything back, the last first. An interrupt waits until all is back."""
        interrupted: KeyboardInterrupt | None = None
        while self.records:
            try:
                _put_back(self.records[-1], self)
                self.records.pop()
            except KeyboardInterrupt as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def keep(self, path: str | None) -> None:
        if path is not None:
            raise EditError("the edit of a live network is kept in memory", f"net.save({path!r}) writes a file")
        self.records.clear()

    def saved(self) -> Sequence[tuple[Array, Key, torch.Tensor]]:
        return [(record.array, record.key, record.before) for record in self.records]


_open: weakref.WeakSet[TorchLedger] = weakref.WeakSet()


def _put_back(record: _Saved, owner: TorchLedger) -> None:
    """Restore one record. Where a younger edit still holds some of its elements, that edit inherits the old bytes."""
    memory = record.memory()
    younger = sorted(
        (
            other
            for ledger in _open
            if ledger is not owner
            for other in ledger.records
            if other.time > record.time and other.memory() == memory
        ),
        key=lambda other: other.time,
    )
    with torch.no_grad():
        if not younger:
            record.view().copy_(record.before)
            return
        waiting = torch.ones(record.before.numel(), dtype=torch.bool)
        mine = _offsets(record.view())
        for other in younger:
            shared, here, there = _common(mine, _offsets(other.view()), waiting)
            if shared:
                flat = other.before.reshape(-1)
                flat[there.to(flat.device)] = record.before.reshape(-1)[here.to(flat.device)]
                other.before = flat.reshape(other.before.shape)
                waiting[here] = False
        view = record.view()
        keep = waiting.reshape(view.shape).to(view.device)
        view.copy_(torch.where(keep, record.before, view))


def _offsets(view: torch.Tensor) -> torch.Tensor:
    """The place of every element of a view in its storage, in row-major order."""
    offsets = torch.full((1,) * view.dim(), view.storage_offset(), dtype=torch.long)
    for axis, (size, stride) in enumerate(zip(view.shape, view.stride(), strict=True)):
        steps = torch.arange(size) * stride
        offsets = offsets + steps.reshape([-1 if i == axis else 1 for i in range(view.dim())])
    return offsets.reshape(-1)


def _common(mine: torch.Tensor, theirs: torch.Tensor, waiting: torch.Tensor) -> tuple[bool, torch.Tensor, torch.Tensor]:
    """Which elements two views share, of those still waiting: their numbers in the one and in the other."""
    order = torch.argsort(theirs)
    found = torch.searchsorted(theirs[order], mine).clamp(max=len(theirs) - 1)
    there = order[found]
    here = torch.nonzero((theirs[there] == mine) & waiting).reshape(-1)
    return len(here) > 0, here, there[here]


def _values(value: Any, what: str) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise EditError(f"{what}: cannot read the values given ({error})", "nothing was changed") from error

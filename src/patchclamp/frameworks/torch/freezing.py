"""Keep chosen weights as they are while an optimizer trains the rest.

`requires_grad` holds for whole tensors only, and a gradient set to zero does not stop weight decay or momentum. So the
bytes are put back after every step, and their gradient is zero before it, so that no momentum gathers either.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ...arrays import Array
from ...axes import Key
from .storage import Slot

__all__ = ["Frozen"]


class Frozen:
    """Weights held at their value through every step of every `torch.optim.Optimizer`, until `release()`.

    Used as a context it releases on exit. The model gets no hook, no new parameter and no new attribute.
    """

    def __init__(self, regions: Sequence[tuple[Array, Key]]) -> None:
        self._held: list[tuple[Slot, Key, torch.Tensor]] = []
        for array, key in regions:
            assert isinstance(array.storage, Slot)
            self._held.append((array.storage, key, array.storage.read(key).clone()))
        self._hooks = [
            register_optimizer_step_pre_hook(self._before),
            register_optimizer_step_post_hook(self._after),
        ]

    @property
    def active(self) -> bool:
        return bool(self._hooks)

    def release(self) -> None:
        """Let the optimizer move these weights again."""
        while self._hooks:
            self._hooks.pop().remove()

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        for slot, key, _ in self._held:
            gradient = slot.tensor().grad
            if gradient is not None and not gradient.is_sparse:
                gradient.detach()[key].zero_()

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        with torch.no_grad():
            for slot, key, value in self._held:
                slot.read(key).copy_(value)

    def __enter__(self) -> Frozen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

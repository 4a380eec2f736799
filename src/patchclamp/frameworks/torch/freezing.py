"""Keep chosen weights as they are while an optimizer trains the rest.

`requires_grad` holds for whole tensors only, and a gradient set to zero does not stop weight decay or momentum. So
after every step the bytes are put back, and what the optimizer remembers of these weights (momentum, running squares)
as well: nothing gathers that would make them jump when they are released.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ...arrays import Array
from ...axes import Key
from .storage import Slot, child

__all__ = ["Frozen"]


class Frozen:
    """Weights held through every step of every `torch.optim.Optimizer`, until `release()`.

    Used as a context it releases on exit. The model gets no hook, no new parameter and no new attribute. Letting the
    handle go does not release: the weights stay frozen for as long as the model lives. What is changed between two
    steps on purpose (an edit, `load_state_dict`) is kept from then on.
    """

    def __init__(self, regions: Sequence[tuple[Array, Key]]) -> None:
        holds = [_Hold.of(array, key) for array, key in regions]
        steps = _Steps(holds)
        hooks = [
            register_optimizer_step_pre_hook(steps.before),
            register_optimizer_step_post_hook(steps.after),
        ]
        self._let_go = weakref.finalize(holds[0].module(), _remove, hooks)
        self._let_go.atexit = False

    @property
    def active(self) -> bool:
        return self._let_go.alive

    def release(self) -> None:
        """Let the optimizer move these weights again."""
        self._let_go()

    def __enter__(self) -> Frozen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _remove(hooks: list[Any]) -> None:
    while hooks:
        hooks.pop().remove()


@dataclass
class _Hold:
    """One region. The module is held weakly: a global hook must not keep a model alive."""

    module: weakref.ref[torch.nn.Module]
    name: str
    key: Key

    @staticmethod
    def of(array: Array, key: Key) -> _Hold:
        slot = array.storage
        assert isinstance(slot, Slot)
        return _Hold(weakref.ref(slot.module), slot.name, key)

    def tensor(self) -> torch.Tensor | None:
        module = self.module()
        return None if module is None else child(module._parameters, self.name)


@dataclass
class _Step:
    """What stood at one region when a step began: its bytes, and what the optimizer remembered of it."""

    parameter: torch.Tensor
    key: Key
    value: torch.Tensor
    remembered: dict[str, torch.Tensor]

    def still(self) -> None:
        """The bytes that were there."""
        self.parameter.detach()[self.key].copy_(self.value)


@dataclass
class _Steps:
    """The two hooks. Steps do not nest, but a step that raised leaves its entry: the next one begins anew."""

    holds: Sequence[_Hold]
    current: dict[int, list[_Step]] = field(default_factory=dict)

    def before(self, optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        memory = {p.untyped_storage().data_ptr() for group in optimizer.param_groups for p in group["params"]}
        found = [step for hold in self.holds if (step := _begin(hold, optimizer, memory)) is not None]
        if not found:
            return None
        self.current[id(optimizer)] = found
        wrapped = tuple(_quiet(item, found) for item in args)
        return wrapped, {name: _quiet(item, found) for name, item in kwargs.items()}

    def after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        with torch.no_grad():
            for step in self.current.pop(id(optimizer), ()):
                step.still()
                for name, state in _state(optimizer, step.parameter).items():
                    # Momenta begin at zero; a step size (Rprop) and an average of the weights (ASGD) do not.
                    kept = step.remembered.get(name)
                    if kept is not None:
                        state[step.key] = kept
                    elif name not in ("step_size", "ax"):
                        state[step.key] = 0


def _begin(hold: _Hold, optimizer: Any, memory: set[int]) -> _Step | None:
    """None where this optimizer does not move the memory of the region."""
    parameter = hold.tensor()
    if parameter is None or parameter.untyped_storage().data_ptr() not in memory:
        return None
    with torch.no_grad():
        remembered = {name: state[hold.key].clone() for name, state in _state(optimizer, parameter).items()}
        return _Step(parameter, hold.key, parameter.detach()[hold.key].clone(), remembered)


def _state(optimizer: Any, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    """What an optimizer remembers for each number of a parameter."""
    kept = optimizer.state.get(parameter, {})
    return {
        name: value
        for name, value in kept.items()
        if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim()
    }


def _quiet(item: Any, steps: Sequence[_Step]) -> Any:
    """A closure runs within the step: it finds the held bytes, and the search that follows it must not move them."""
    if not callable(item) or isinstance(item, torch.optim.Optimizer):
        return item
    closure: Callable[[], Any] = item

    def quiet() -> Any:
        with torch.no_grad():
            for step in steps:
                step.still()
        loss = closure()
        with torch.no_grad():
            for step in steps:
                _clear(step.parameter.grad, step.key)
        return loss

    return quiet


def _clear(gradient: torch.Tensor | None, key: Key) -> None:
    if gradient is not None and not gradient.is_sparse:
        gradient.detach()[key] = 0

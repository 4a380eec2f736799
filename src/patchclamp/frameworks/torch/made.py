"""Arrays that a layer makes from others whenever it runs: weight_norm, spectral_norm, parametrizations, pruning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ...axes import Key
from ...errors import KindError, PatchclampError
from .storage import Slot
from .unchanged import unchanged

__all__ = ["Made", "during", "made"]

_BEHIND = ("_orig", "_mask", "_g", "_v", "_u")


@dataclass(frozen=True, slots=True, eq=False)
class Made(Slot):
    """An array as the layer would compute it now; what it was computed as last may be out of date."""

    sources: tuple[str, ...] = ()
    rule: str = ""

    def stored(self) -> torch.Tensor | None:
        return None

    def refusal(self) -> str:
        return "is computed afresh from other arrays whenever the layer runs, so a change would be lost"

    def advice(self) -> str:
        return f"its numbers come from {', '.join(self.sources)}" if self.sources else ""

    @property
    def note(self) -> str:
        return f"computed by {self.rule} from {', '.join(self.sources)}" if self.sources else ""

    def _computed(self) -> torch.Tensor | None:
        # Computing runs code: spectral_norm in training mode turns its vectors each time.
        with unchanged(self.module), torch.no_grad(), self._explained():
            hook = _hook(self.module, self.name)
            if hook is not None:
                value = hook(self.module)
            elif is_parametrized(self.module, self.name):
                value = getattr(self.module, self.name)
            else:
                value = getattr(self.module, self.name, None)
        return value if isinstance(value, torch.Tensor) else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise KindError where the code that computes the array does not."""
        try:
            yield
        except PatchclampError:
            raise
        except Exception as error:
            said = (str(error).strip() or "no message").splitlines()[0]
            raise KindError(
                f"{self.path} is computed by {self.rule} when it is read, which raised {type(error).__name__}: {said}",
                f"what it is made from is stored: {', '.join(self.sources)}",
            ) from error

    def read(self, key: Key = ()) -> torch.Tensor:
        """A copy of the part at `key`; where a part can be computed alone, no more is."""
        self.refuse_replaced()
        with torch.no_grad():
            part = _part(self.module, self.name, key, self.shape)
        return self.tensor().detach()[key].clone() if part is None else part


def made(module: torch.nn.Module, prefix: str) -> Iterator[Made]:
    """The arrays of a module that are made from others, without their shapes.

    torch.nn.utils.parametrize makes a property; the older weight_norm, spectral_norm and pruning make a plain attribute
    `x` from the parameter `x_orig`, or from `x_g` and `x_v`.
    """
    if is_parametrized(module):
        stacks: Any = module.parametrizations
        for key, stack in stacks.items():
            behind = (*stack.named_parameters(), *stack.named_buffers())
            sources = tuple(f"{prefix}parametrizations.{key}.{deep}" for deep, _ in behind)
            rule = ", ".join(type(part).__name__ for part in stack)
            yield Made(module, key, prefix + key, (), (), sources, rule)
    stored = {**module._parameters, **module._buffers}
    for key, value in module.__dict__.items():
        behind_it = f"{key}_orig" in stored or (f"{key}_g" in stored and f"{key}_v" in stored)
        if isinstance(value, torch.Tensor) and behind_it:
            sources = tuple(f"{prefix}{key}{end}" for end in _BEHIND if key + end in stored)
            yield Made(module, key, prefix + key, (), (), sources, _rule(module, key))


def _part(module: torch.nn.Module, name: str, key: Key, shape: Sequence[int]) -> torch.Tensor | None:
    """Some numbers of a pruned array, or of one row that weight_norm scales by itself; None for any other."""
    hook: Any = next(_hooks(module, name), None)
    if isinstance(hook, BasePruningMethod) and type(hook).apply_mask is BasePruningMethod.apply_mask:
        number, mask = _sources(module, f"{name}_orig", f"{name}_mask")
        if _plain(number) and _plain(mask) and number.shape == mask.shape == shape:
            part: torch.Tensor = mask[key].to(dtype=number.dtype) * number[key]
            return part
    length, direction, dim = _normed(module, name, hook)
    if dim != 0 or not key or not isinstance(key[0], int) or not (_plain(length) and _plain(direction)):
        return None
    if direction.shape != shape or direction.dtype not in (torch.float32, torch.float64):
        return None  # other types are not summed row by row, so the last bit may differ
    row = slice(key[0], key[0] + 1 or None)
    return torch._weight_norm(direction[row], length[row], 0)[0][key[1:]].clone()


def _normed(module: Any, name: str, hook: Any) -> tuple[Any, Any, int | None]:
    """The lengths and directions that weight_norm makes an array from, and which axis has a length each."""
    if isinstance(hook, WeightNorm):
        return (*_sources(module, f"{name}_g", f"{name}_v"), hook.dim)
    stack: Any = module.parametrizations[name] if is_parametrized(module, name) else ()
    if len(stack) == 1 and type(stack[0]) is _WeightNorm:
        return stack.original0, stack.original1, stack[0].dim
    return None, None, None


def _sources(module: Any, *names: str) -> tuple[Any, Any]:
    first, second = (getattr(module, name, None) for name in names)
    return first, second


def _plain(value: Any) -> bool:
    return type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided and not value.is_meta


def _hooks(module: torch.nn.Module, name: str) -> Iterator[Any]:
    for hook in module._forward_pre_hooks.values():
        known = isinstance(hook, (WeightNorm, SpectralNorm, BasePruningMethod))
        if known and name in (getattr(hook, "name", None), getattr(hook, "_tensor_name", None)):
            yield hook


def _rule(module: torch.nn.Module, name: str) -> str:
    return next((type(hook).__name__ for hook in _hooks(module, name)), "the layer")


def _hook(module: torch.nn.Module, name: str) -> Callable[[torch.nn.Module], Any] | None:
    """How the hook that runs before each forward computes an array; None where a property does."""
    for hook in _hooks(module, name):
        if isinstance(hook, WeightNorm):
            return hook.compute_weight
        if isinstance(hook, SpectralNorm):
            turns = hook
            return lambda owner: turns.compute_weight(owner, do_power_iteration=owner.training)
        if isinstance(hook, BasePruningMethod):
            return hook.apply_mask
    return None


def during(module: torch.nn.Module) -> Callable[[], Mapping[str, torch.Tensor]] | None:
    """What computed arrays are as a forward begins, where the next forward would compute others: in training mode.

    None where nothing is computed, or it would be the same later.
    """
    if not module.training:
        return None
    turning = [hook.name for hook in module._forward_pre_hooks.values() if isinstance(hook, SpectralNorm)]
    if turning:
        held = {name: getattr(module, name) for name in turning}  # its own hook has run: these are new tensors
        return lambda: {name: value.detach() for name, value in held.items()}
    if is_parametrized(module):
        return lambda: _properties(module)
    return None


def _properties(module: torch.nn.Module) -> Mapping[str, torch.Tensor]:
    names: Any = module.parametrizations
    found = {}
    for name in names:
        with unchanged(module), torch.no_grad():  # each from the state that the forward finds
            value = getattr(module, name)
        if isinstance(value, torch.Tensor):
            found[name] = value.detach()
    return found

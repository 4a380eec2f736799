"""Give each position of a conv layer its own bias: a trainable map in place of one number a filter."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...errors import EditError
from .storage import Slot, why_not_writable
from .unchanged import surely

__all__ = ["START", "Untied", "untie"]

NAME = "bias_map"
START = "bias_start"
_CONV = tuple(f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3))


class _OwnBias:
    """Mixed in before a conv class: wherever its forward calls the convolution, the map takes the bias's place."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        watch = _AddMap(self)
        with watch:
            output = super().forward(*args, **kwargs)  # type: ignore[misc]
        if not watch.found:
            raise RuntimeError(f"the bias was untied, but {type(self).__name__}.forward calls no convolution")
        return output

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class was made at run time and cannot be found by name: name the one it was made from.
        made: Any = super().__reduce_ex__(protocol)
        if made[0] is not vars(copyreg)["__newobj__"]:
            return made
        return (_blank, (made[1][0].__mro__[2],), *made[2:])


class _AddMap(TorchFunctionMode):
    """Finds the convolution that uses the layer's weight.

    It is given the bias that the filter had, and what the map has gained since is added: so at the start every output
    is the same to the last bit, which adding the bias after the sum is not.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.found = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in _CONV:
            return func(*args, **kwargs)
        given = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **kwargs}
        if given["weight"].shape != self.layer.weight.shape:
            return func(*args, **kwargs)
        self.found = True
        start, own = self.layer._buffers[START], self.layer._parameters[NAME]
        output = func(**{**given, "bias": start}) if len(args) < 3 else func(*args[:2], start, *args[3:], **kwargs)
        if output.shape[-own.dim() :] != own.shape:
            mine, now = tuple(own.shape[1:]), tuple(output.shape[1 - own.dim() :])
            raise ValueError(f"the bias was untied for a map of {mine}, this one is {now}")
        gained = start.reshape(-1, *(1,) * (own.dim() - 1)) - own
        return output - gained.to(output.dtype)  # not `+`: that would turn -0.0 into 0.0


@cache
def _untied_class(cls: Any) -> Any:
    return type(f"Untied{cls.__name__}", (_OwnBias, cls), {"__module__": cls.__module__})


def _blank(cls: Any) -> Any:
    made = _untied_class(cls)
    return made.__new__(made)


class Untied:
    """The handle of an untied bias. `parameter` is the map (filter, *map), to be given to the optimizer.

    `restore()` (or leaving the context) puts the layer back: its class, its own bias parameter, its order of names.
    `changed` is called when it has.
    """

    def __init__(self, module: Any, extents: tuple[int, ...], changed: Callable[[], None]) -> None:
        bias = module._parameters["bias"]
        weight = module.weight
        filters = module.out_channels
        first = torch.zeros(filters, dtype=weight.dtype, device=weight.device) if bias is None else bias.detach()
        own = first.reshape(-1, *(1,) * len(extents)).expand(filters, *extents).clone()
        # What is not finite cannot be subtracted again.
        start = torch.where(torch.isfinite(first), first, torch.zeros_like(first))
        self.parameter = torch.nn.Parameter(
            own, requires_grad=weight.requires_grad if bias is None else bias.requires_grad
        )
        self._module = module
        self._changed = changed
        self._before = type(module), bias
        try:
            self._put_in(start)
        except BaseException:
            surely(self._take_out)
            raise

    def _put_in(self, start: torch.Tensor) -> None:
        module = self._module
        module._parameters["bias"] = None
        module._parameters[NAME] = self.parameter
        module._buffers[START] = start  # a buffer, to follow the layer to another device; not saved
        module._non_persistent_buffers_set.add(START)
        module.__class__ = _untied_class(module.__class__)

    @property
    def active(self) -> bool:
        return self._module._parameters.get(NAME) is self.parameter

    def restore(self) -> None:
        """One bias a filter again, the very parameter that was there; the map is dropped."""
        if self.active:
            surely(self._take_out)
            self._changed()

    def _take_out(self) -> None:
        module = self._module
        module.__class__, bias = self._before
        if bias is not None:
            bias.data = bias.data.to(self.parameter)  # the network may have been moved to another device or type
        module._parameters["bias"] = bias
        module._parameters.pop(NAME, None)
        module._buffers.pop(START, None)
        module._non_persistent_buffers_set.discard(START)

    def __enter__(self) -> Untied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


def untie(module: Any, name: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Untied:
    """Untie the bias of a conv module for maps of `extents`. Raises EditError where that would not hold."""
    if NAME in module._parameters:
        raise EditError(f"the bias of {name!r} is untied already", "restore() the first one")
    if "bias" not in module._parameters:
        raise EditError(f"the bias of {name!r} is computed, not stored", "nothing was changed")
    held = "weight" if module._parameters["bias"] is None else "bias"
    value = module._parameters.get(held)
    if value is not None and (reason := why_not_writable(Slot(module, held, held, tuple(value.shape)), "parameter")):
        raise EditError(f"{name}.{held} {reason}", "nothing was changed")
    return Untied(module, extents, changed)

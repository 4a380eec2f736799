"""Give each position of a conv layer its own bias: a trainable map in place of one number a filter."""

from __future__ import annotations

from functools import cache
from types import TracebackType
from typing import Any

import torch

from ...errors import EditError
from .storage import Slot, why_not_writable

__all__ = ["Untied", "untie"]

NAME = "bias_map"


class _OwnBias:
    """Mixed in before a conv class: its forward without a bias, then the map is added."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        output: torch.Tensor = super().forward(*args, **kwargs)  # type: ignore[misc]
        own: torch.Tensor = self.bias_map  # type: ignore[attr-defined]
        if output.shape[-own.dim() :] != own.shape:
            raise ValueError(
                f"the bias was untied for a map of {tuple(own.shape[1:])}, this one is {tuple(output.shape[2:])}"
            )
        return output + own


@cache
def _untied_class(cls: type) -> type:
    return type(f"Untied{cls.__name__}", (_OwnBias, cls), {"__module__": cls.__module__})


class Untied:
    """The handle of an untied bias. `parameter` is the map (filter, *map), to be given to the optimizer.

    `restore()` (or leaving the context) puts the layer back: its class, its own bias parameter, its order of names.
    """

    def __init__(self, module: torch.nn.Module, extents: tuple[int, ...]) -> None:
        bias = module._parameters["bias"]
        weight: Any = module.weight
        filters = module.out_channels
        start = torch.zeros(filters, dtype=weight.dtype, device=weight.device) if bias is None else bias.detach()
        shape = (filters, *extents)
        own = start.reshape(-1, *(1,) * len(extents)).expand(shape).clone()
        self.parameter = torch.nn.Parameter(own, requires_grad=bias is None or bias.requires_grad)
        self._module = module
        self._before = (type(module), dict(module._parameters))
        module._parameters["bias"] = None
        module._parameters[NAME] = self.parameter
        module.__class__ = _untied_class(type(module))

    def restore(self) -> None:
        """One bias a filter again, the very parameter that was there; the map is dropped."""
        if NAME not in self._module._parameters:
            return
        cls, parameters = self._before
        self._module.__class__ = cls
        self._module._parameters.clear()
        self._module._parameters.update(parameters)

    def __enter__(self) -> Untied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


def untie(module: torch.nn.Module, name: str, extents: tuple[int, ...]) -> Untied:
    """Untie the bias of a conv module for maps of `extents`. Raises EditError where that would not hold."""
    if NAME in module._parameters:
        raise EditError(f"the bias of {name!r} is untied already", "restore() the first one")
    if "bias" not in module._parameters:
        raise EditError(f"the bias of {name!r} is computed, not stored", "nothing was changed")
    if module._parameters["bias"] is not None:
        bias = module._parameters["bias"]
        if reason := why_not_writable(Slot(module, "bias", f"{name}.bias", tuple(bias.shape)), "parameter"):
            raise EditError(f"{name}.bias {reason}", "nothing was changed")
    return Untied(module, extents)

"""What the rules for torch have in common: the arguments of an operation, its operands on the CPU, what it touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...flow.shadow import Shadow
from .tracer import Tracer

__all__ = [
    "Args",
    "Named",
    "apart",
    "argument",
    "as_tensor",
    "axes_of",
    "in_place",
    "on_cpu",
    "out_of_place",
    "per_feature",
    "shares",
    "touch",
]


Args = tuple[Any, ...]
Named = dict[str, Any]


def argument(func: Any, args: Args, kwargs: Named, name: str, default: Any = None) -> Any:
    """An argument by its name, wherever it was given."""
    for at, one in enumerate(func._schema.arguments):
        if one.name == name:
            return (
                args[at]
                if at < len(args)
                else kwargs.get(name, default if not one.has_default_value() else one.default_value)
            )
    return default


def axes_of(given: Any, rank: int) -> list[int]:
    """Axes as an operation takes them, one, several or none for all, counted from the first."""
    if given is None or given == []:
        return list(range(rank))
    return [axis % rank for axis in (given if isinstance(given, (list, tuple)) else [given])] if rank else []


def in_place(func: Any) -> bool:
    """Whether an operation writes its result over an operand."""
    return bool(func._schema.is_mutable)


def out_of_place(func: Any) -> Any:
    """The operation that gives its result rather than writing it over its operand."""
    name = func._schema.name.partition("::")[2]
    return getattr(torch.ops.aten, name[:-1]) if in_place(func) and name.endswith("_") else func


def shares(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors lie in the same memory."""
    return bool(a.untyped_storage()._cdata == b.untyped_storage()._cdata)


def as_tensor(plane: Any) -> torch.Tensor:
    """A plane of a shadow as a tensor."""
    return torch.from_numpy(np.require(plane, requirements=["C", "W"]))


def on_cpu(value: Any) -> Any:
    """Indices as they are on the CPU; in a run without numbers there are none."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, (list, tuple)):
        return type(value)(on_cpu(item) for item in value)
    return value


def touch(tracer: Tracer, args: Args, shadow: Shadow, shape: tuple[int, ...]) -> None:
    """A parameter meets an array: note which of its elements meet whom."""
    for value in args:
        if not isinstance(value, torch.Tensor) or tracer.weights.origin(value) is None or not value.ndim:
            continue
        wide = shadow.spread(shape)
        for axis in range(value.ndim):
            if value.shape[axis] > 1:
                home = tracer.weights.axis(value, axis)
                if home is not None:
                    path = tracer.weights.path(value)
                    tracer.flow.touched([(path, home)], wide, len(shape) - value.ndim + axis)


def apart(value: Any) -> Any:
    """A copy of a tensor that a derivative can be taken by."""
    if not isinstance(value, torch.Tensor):
        return value
    copy = value.detach().to("cpu").clone()
    return copy.double() if copy.is_floating_point() else copy


def per_feature(value: Any, shape: Sequence[int], axis: int) -> Any:
    """Numbers of one axis, in a form that broadcasts over the others."""
    return 1.0 if value is None else value.reshape([-1 if i == axis else 1 for i in range(len(shape))])

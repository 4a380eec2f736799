"""Pools of torch: windows of a map, of which each becomes one element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...flow.rules import pooled
from .trace_calls import Args, Named, argument, as_tensor
from .tracer import Tracer, tensors

__all__ = ["windows"]


def windows(word: str, highest: Callable[..., Any] | None = None) -> Callable[..., None]:
    """Windows: the greatest number of each, or their mean."""

    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        x, shadow = args[0], tracer.shadow(args[0])
        assert shadow is not None
        result = next(tensors(out))
        batched = x.ndim == _rank(func) + 2
        planes = shadow if batched else shadow.shaped(1, *x.shape)

        def top(plane: Any) -> Any:
            wide = as_tensor(plane)
            return next(tensors((highest or _max_like)(func, wide, args, kwargs))).numpy()

        gain = None
        if tracer.numbers:
            gain = _pool_gain(tracer, func, args, kwargs, batched)
        found = pooled(tracer.flow, planes, top, gain, (word,))
        tracer.put(result, found.shaped(*result.shape))

    return rule


def _rank(func: Any) -> int:
    return next(int(letter) for letter in func._schema.name if letter.isdigit())


def _max_like(func: Any, x: torch.Tensor, args: Args, kwargs: Named) -> Any:
    """The maximum over the windows of a pool."""
    name, rank = func._schema.name, _rank(func)
    f = torch.nn.functional
    if "adaptive" in name:
        pool: Any = getattr(f, f"adaptive_max_pool{rank}d")
        return pool(x, args[1])
    pool = getattr(f, f"max_pool{rank}d")
    size, stride, padding, ceil, dilation = (
        argument(func, args, kwargs, n) for n in ("kernel_size", "stride", "padding", "ceil_mode", "dilation")
    )
    return pool(x, size, stride or None, padding or 0, dilation or 1, bool(ceil))


def _pool_gain(tracer: Tracer, func: Any, args: Args, kwargs: Named, batched: bool) -> Callable[[Any], Any]:
    """How a plane of gains is pooled: by the pool itself where it is a mean, else taken where the greatest stands."""
    if "max" not in func._schema.name:
        return lambda plane: next(tensors(func(as_tensor(plane), *args[1:], **kwargs))).numpy()
    rank = _rank(func)
    x = args[0].detach().to("cpu", torch.float64)
    x = x if batched else x[None]
    f: Any = torch.nn.functional
    if "adaptive" in func._schema.name:
        _, index = getattr(f, f"adaptive_max_pool{rank}d")(x, args[1], return_indices=True)
    else:
        size, stride, padding, ceil, dilation = (
            argument(func, args, kwargs, n) for n in ("kernel_size", "stride", "padding", "ceil_mode", "dilation")
        )
        _, index = getattr(f, f"max_pool{rank}d_with_indices")(
            x, size, stride or None, padding or 0, dilation or 1, bool(ceil)
        )
    flat = index.flatten(2)

    def gain(plane: Any) -> Any:
        return as_tensor(plane).flatten(2).gather(2, flat).view(index.shape).numpy()

    return gain

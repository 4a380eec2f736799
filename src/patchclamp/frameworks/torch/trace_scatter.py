"""Operations of torch that lay elements of one array into another, at places that an index says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...flow.rules import joined, merged, pointwise
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, apart, argument, as_tensor, on_cpu, out_of_place
from .trace_sums import summed_over
from .tracer import Tracer, tensors

__all__ = ["folded", "heaped", "scattered"]


def scattered(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """index_copy, scatter, index_put, slice_scatter, index_fill: what stood at these places is gone."""
    if argument(func, args, kwargs, "accumulate", False):
        heaped(tracer, func, args, kwargs, out)
        return
    base = tracer.shadow(args[0])
    target = next(tensors(out))
    part_at = next((at for at in range(len(args) - 1, 0, -1) if _is_part(func, at, args[at])), None)
    part = None if part_at is None else tracer.shadow(args[part_at])
    if _unseen(tracer, args):
        tracer.lost(func, [target], [s for s in (base, part) if s is not None])
        return
    plain = torch.index_put if "index_put" in func._schema.name else out_of_place(func)
    given = [on_cpu(value) for value in args]
    named = {} if "index_put" in func._schema.name else kwargs

    def laid(planes: list[Any]) -> Any:
        own = list(given)
        own[0] = as_tensor(planes[0])
        if part_at is None:
            own[-1] = 0
        else:
            own[part_at] = as_tensor(planes[1]).expand(args[part_at].shape)
        return plain(*own, **named).numpy()

    shapes = [tuple(args[0].shape), () if part_at is None else tuple(args[part_at].shape)]
    nobody = base is None and part is None
    tracer.put(target, None if nobody else joined([base, part], shapes, laid))


def _is_part(func: Any, at: int, value: Any) -> bool:
    name = func._schema.arguments[at].name
    return isinstance(value, torch.Tensor) and name in ("src", "source", "values", "value", "tensor1")


def _unseen(tracer: Tracer, args: Args) -> bool:
    return not tracer.numbers and any(isinstance(v, torch.Tensor) and v.is_meta for v in args)


def heaped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """index_add, scatter_add, scatter_reduce: several elements may come to one place, and are added up there."""
    base = tracer.shadow(args[0])
    part_at = next(at for at in range(len(args) - 1, 0, -1) if _is_part(func, at, args[at]))
    part = tracer.shadow(args[part_at])
    target = next(tensors(out))
    if _unseen(tracer, args) or not tracer.numbers:
        tracer.lost(func, [target], [s for s in (base, part) if s is not None])
        return
    slopes = [_slope(tracer, func, args, kwargs, at) for at in (0, part_at)]
    found = None
    if part is not None:
        places = _places(func, args)
        if "scatter" in func._schema.name:
            part = part.each(lambda plane: plane[tuple(slice(0, size) for size in places.shape)])
            slopes[1] = slopes[1] if isinstance(slopes[1], float) else slopes[1][tuple(map(slice, places.shape))]
        part = pointwise(tracer.flow, tuple(part.shape), [(part, slopes[1])])
        found = heap(tracer, part.spread(places.shape), places, tuple(args[0].shape))
    if base is not None:
        own = pointwise(tracer.flow, base.shape, [(base, slopes[0])])
        found = own if found is None else merged(tracer.flow, own, found)
    tracer.put(target, found)


def _slope(tracer: Tracer, func: Any, args: Args, kwargs: Named, at: int) -> Any:
    """The derivative of the result by each element of an operand."""
    name = func._schema.name.partition("::")[2].rstrip("_")
    if name in ("index_add", "scatter_add", "index_put", "put"):
        return float(kwargs.get("alpha", 1)) if at else 1.0
    with torch.inference_mode(False), torch.enable_grad():
        given = [apart(tracer.before.get(id(value), value)) for value in args]
        given[at].requires_grad_()
        (slope,) = torch.autograd.grad(out_of_place(func)(*given, **kwargs).sum(), given[at], allow_unused=True)
    return 0.0 if slope is None else slope.numpy()


def _places(func: Any, args: Args) -> Any:
    """Where each element is laid, row-major in the array that it is laid into."""
    name = func._schema.name.partition("::")[2]
    flat = torch.arange(args[0].numel()).view(args[0].shape)
    if name.startswith("scatter"):
        return flat.gather(args[1], args[2].cpu()).numpy()
    if name.startswith("index_put"):
        return torch.ops.aten.index(flat, on_cpu(args[1])).numpy()
    if name.startswith("put"):
        return args[1].cpu().numpy()
    return flat.index_select(args[1], args[2].cpu()).numpy()


def heap(tracer: Tracer, part: Shadow, places: Any, shape: tuple[int, ...]) -> Shadow:
    """Elements laid to places of an array; those that come to one place are added up."""
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    layer = np.empty_like(flat)
    layer[order] = np.arange(len(flat)) - np.searchsorted(ordered, ordered)
    size = int(np.prod(shape))
    deep = int(layer.max(initial=0)) + 1

    def laid(plane: Any) -> Any:
        wide = np.zeros((deep, size), plane.dtype)
        wide[layer, flat] = plane.ravel()
        return wide

    return summed_over(tracer, part.each(laid), [0], 1.0 if tracer.numbers else None, "").shaped(*shape)


def folded(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """col2im: windows are laid back to a map, and added up where they overlap."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    x = args[0]
    size, *rest = args[1:]
    numbers = torch.arange(out.numel() // (out.shape[0] if out.ndim == 4 else 1), dtype=torch.float64) + 1
    channels = out.shape[-3]
    windows = torch.ops.aten.im2col(numbers.view(1, channels, *size), *rest)
    places = windows.long().numpy().reshape(x.shape[-2:])
    batch = x.shape[0] if x.ndim == 3 else 1
    inside = places > 0
    per = numbers.numel()
    every = np.stack([places - 1 + number * per for number in range(batch)])
    flat = shadow.shaped(batch, *x.shape[-2:])
    kept = np.broadcast_to(inside, every.shape)
    tracer.put(out, heap(tracer, flat.each(lambda plane: plane[kept]), every[kept], tuple(out.shape)))

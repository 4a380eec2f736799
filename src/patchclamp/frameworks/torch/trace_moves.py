"""Operations of torch that move elements to other places."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...flow.rules import joined, merged, retagged
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, argument, as_tensor, on_cpu, out_of_place, shares
from .tracer import Tracer, tensors

__all__ = ["moved", "padded", "resized", "scattered", "shaped", "side_by_side"]


def moved(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Elements go to other places: the operation itself is carried out on the planes of the first argument."""
    results = list(tensors(out))
    if all(shares(result, args[0]) for result in results):
        return
    shadow = tracer.shadow(args[0])
    for number, result in enumerate(results):
        if shadow is None or shares(result, args[0]):
            continue

        def do(plane: Any, number: int = number) -> Any:
            given = [on_cpu(value) for value in args[1:]]
            moved = func(as_tensor(plane), *given, **{key: on_cpu(value) for key, value in kwargs.items()})
            return list(tensors(moved))[number].numpy()

        tracer.put(result, shadow.each(do))


def shaped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """A tensor in another shape. Where the positions of a map become features the path says so: flatten."""
    if not shares(out, args[0]):
        moved(tracer, func, args, kwargs, out)
    shadow = tracer.shadow(out) if 1 < out.ndim < args[0].ndim else None
    if shadow is None or not len(shadow.codes):
        return
    row = shadow.codes[0].reshape(-1, out.shape[-1])[0]
    row = row[row > 0]
    if row.size > len(np.unique(row)):
        tracer.put(out, retagged(tracer.flow, shadow, ("flatten",)))


def padded(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Elements of a margin are nobody's, or copies."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    mode = args[2] if len(args) > 2 and isinstance(args[2], str) else "constant"
    given = [args[1]] if mode == "constant" else [args[1], mode]
    pad = torch.nn.functional.pad
    own = func if "reflection" in str(func) or "replication" in str(func) else None

    def do(plane: Any) -> Any:
        wide = as_tensor(plane)
        exact = wide.double()
        moved = own(exact, args[1]) if own is not None else pad(exact, *given)
        return moved.to(wide.dtype).numpy()

    tracer.put(out, shadow.each(do))


def side_by_side(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    parts = list(args[0])
    shadows = [tracer.shadow(part) for part in parts]
    rest = args[1:]
    parts_shapes = [tuple(part.shape) for part in parts]

    def do(planes: list[Any]) -> Any:
        return func([as_tensor(plane) for plane in planes], *rest, **kwargs).numpy()

    found = joined(shadows, parts_shapes, do)
    tracer.put(out, retagged(tracer.flow, found, ("concat",)))


def scattered(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """index_add, index_copy, scatter, index_put, slice_scatter: one array laid into another at some places."""
    name = func._schema.name.partition("::")[2].rstrip("_")
    base = tracer.shadow(args[0])
    part_at = next(at for at in range(len(args) - 1, 0, -1) if isinstance(args[at], torch.Tensor))
    part = tracer.shadow(args[part_at])
    adds = "add" in name or (name == "index_put" and bool(argument(func, args, kwargs, "accumulate", False)))
    shape = tuple(args[0].shape)
    target = next(tensors(out))
    if not tracer.numbers and any(isinstance(v, torch.Tensor) and v.is_meta for v in args):
        tracer.lost(func, [target], [s for s in (base, part) if s is not None])
        return
    plain = out_of_place(func)
    if "add" in name:
        plain = {"index_add": torch.index_copy, "scatter_add": torch.scatter}[name]
    given = [on_cpu(value) for value in args]
    named = {key: value for key, value in kwargs.items() if key not in ("alpha",)}
    if name == "index_put":
        plain, named = torch.index_put, {}
        given = given[:3]

    def laid(under: Any, over: Any) -> Any:
        own = list(given)
        own[0], own[part_at] = as_tensor(under), as_tensor(over).expand(args[part_at].shape)
        return plain(*own, **named).numpy()

    laid_shapes = [shape, tuple(args[part_at].shape)]
    if adds:
        found = base
        if part is not None:
            there = joined([None, part], laid_shapes, lambda planes: laid(planes[0], planes[1]))
            found = there if base is None else merged(tracer.flow, base, there)
    elif base is None and part is None:
        found = None
    else:
        found = joined([base, part], laid_shapes, lambda planes: laid(planes[0], planes[1]))
    tracer.put(target, found)


def resized(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Maps made larger or smaller: each element of the result is a mean of elements of its own channel."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    flat = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    if shadow.mixed is not None or not (flat == flat[..., :1]).all():
        if "nearest" not in func._schema.name:
            tracer.lost(func, out, [shadow])
            return
        tracer.put(
            out,
            shadow.each(lambda plane: func(as_tensor(plane).double(), *args[1:], **kwargs).numpy().astype(plane.dtype)),
        )
        return
    codes = np.broadcast_to(flat[..., :1].reshape(*flat.shape[:3], *(1,) * (out.ndim - 2)), (len(flat), *out.shape))
    gains = None
    if shadow.gains is not None:
        gains = np.stack([func(as_tensor(plane), *args[1:], **kwargs).numpy() for plane in shadow.gains])
    tracer.put(out, retagged(tracer.flow, Shadow(codes, gains), ("upsample",)))

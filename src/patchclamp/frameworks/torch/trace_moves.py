"""Operations of torch that move elements to other places."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...flow.rules import along, joined, merged, retagged
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, as_tensor, on_cpu, shares
from .tracer import Tracer, tensors

__all__ = ["moved", "padded", "resized", "sampled", "shaped", "side_by_side", "windowed"]


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

    if all(shadow is None for shadow in shadows):
        tracer.put(out, None)
        return
    found = joined(shadows, parts_shapes, do)
    tracer.put(out, retagged(tracer.flow, found, ("concat",)))


def resized(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Maps made larger or smaller: each element of the result is a mean of elements of its own channel."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    rest = [value.double().cpu() if isinstance(value, torch.Tensor) else value for value in args[1:]]
    uneven = shadow.mixed is not None or not _even(shadow)
    if uneven and "nearest" in func._schema.name:
        tracer.put(
            out,
            shadow.each(lambda plane: func(as_tensor(plane).double(), *rest, **kwargs).numpy().astype(plane.dtype)),
        )
        return
    if uneven:
        maps = along(tracer.flow, shadow, range(2, len(shadow.shape)), ("upsample",))
        assert maps.mixed is not None
        group = maps.mixed.reshape(*maps.shape[:2], -1)[..., :1]
        wide = np.broadcast_to(group.reshape(*maps.shape[:2], *(1,) * (out.ndim - 2)), out.shape)
        none = np.zeros((0, *out.shape), np.int64)
        tracer.put(out, Shadow(none, None if shadow.gains is None else none.astype(float), wide))
        return
    flat = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    codes = np.broadcast_to(flat[..., :1].reshape(*flat.shape[:3], *(1,) * (out.ndim - 2)), (len(flat), *out.shape))
    gains = None
    if shadow.gains is not None:
        gains = np.stack([func(as_tensor(plane), *rest, **kwargs).numpy() for plane in shadow.gains])
    tracer.put(out, retagged(tracer.flow, Shadow(codes, gains), ("upsample",)))


def _even(shadow: Shadow) -> bool:
    """Whether each channel of a map is one neuron's everywhere."""
    flat = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    return bool((flat == flat[..., :1]).all())


def sampled(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """grid_sample: means of elements near some places; who says where takes part in all channels."""
    grid = tracer.shadow(args[1])
    if tracer.shadow(args[0]) is not None:
        resized(tracer, func, args, kwargs, out)
    if grid is None:
        return
    last = len(grid.shape) - 1
    where = along(tracer.flow, grid, [last], ("grid_sample",))
    assert where.mixed is not None
    wide = np.broadcast_to(where.mixed[..., 0][:, None], out.shape)
    none = np.zeros((0, *out.shape), np.int64)
    own = Shadow(none, None if grid.gains is None else none.astype(float), wide)
    held = tracer.shadow(out) if tracer.shadow(args[0]) is not None else None
    tracer.put(out, own if held is None else merged(tracer.flow, held, own))


def windowed(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """im2col: each window of a map becomes a column; the margin is nobody's."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    tracer.put(
        out, shadow.each(lambda plane: func(as_tensor(plane).double(), *args[1:], **kwargs).numpy().astype(plane.dtype))
    )

"""Operations of torch that make one number of several: sums, norms, softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...flow.rules import along, normed, pointwise, reduced, retagged
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, apart, argument, axes_of, per_feature, touch
from .tracer import Tracer, tensors

__all__ = ["batch_norm", "gathered", "group_norm", "layer_norm", "over_axis", "running_sum", "summed", "summed_over"]


def summed(mean: bool, word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        axes = axes_of(argument(func, args, kwargs, "dim"), args[0].ndim)
        if not args[0].numel():
            tracer.put(out, None)
            return
        count = int(np.prod([args[0].shape[axis] for axis in axes]))
        weight = (1.0 / count if mean else 1.0) if tracer.numbers else None
        tracer.put(out, summed_over(tracer, shadow, axes, weight, word).shaped(*out.shape))

    return rule


FEW = 16
"""How many elements a sum may add up for each to be heard by itself, as terms of a residual sum are."""


def summed_over(tracer: Tracer, shadow: Shadow, axes: list[int], weight: float | None, word: str) -> Shadow:
    """The sum over some axes, times a number: term by term where these are few."""
    count = int(np.prod([shadow.shape[axis] for axis in axes]))
    if count <= FEW and not tracer.in_norm:
        return _added_up(tracer, shadow, axes, weight, word)
    return reduced(tracer.flow, shadow, axes, weight, (word,) if word else ())


def _added_up(tracer: Tracer, shadow: Shadow, axes: list[int], weight: float | None, word: str) -> Shadow:
    """A sum of few elements, term by term."""
    kept = [axis for axis in range(len(shadow.shape)) if axis not in axes]
    shape = tuple(shadow.shape[axis] for axis in kept)
    flat = shadow.turned([*axes, *kept]).shaped(-1, *shape)
    terms = [flat.each(lambda plane, term=term: plane[term]) for term in range(flat.shape[0])]  # type: ignore[misc]
    return pointwise(tracer.flow, shape, [(term, weight) for term in terms], (word,) if word else ())


def gathered(word: str) -> Callable[..., None]:
    """Reductions that are no sums: by torch's own derivative, for a shift of all elements at once."""

    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        axes = axes_of(argument(func, args, kwargs, "dim"), args[0].ndim)
        weight = None
        if tracer.numbers:
            with torch.inference_mode(False), torch.enable_grad():
                given = apart(args[0]).requires_grad_()
                result = next(tensors(func(given, *args[1:], **kwargs)))
                (slope,) = torch.autograd.grad(result.sum(), given, allow_unused=True)
            weight = 0.0 if slope is None else slope.numpy()
        found = reduced(tracer.flow, shadow, axes, weight, (word,))
        for result in tensors(out):
            if result.is_floating_point():
                tracer.put(result, found.shaped(*result.shape))

    return rule


def over_axis(word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        dim = argument(func, args, kwargs, "dim", -1)
        axes = axes_of(dim, args[0].ndim)
        found = along(tracer.flow, shadow, axes, (word,))
        for result in tensors(out):
            if result.is_floating_point():
                tracer.put(result, _cut(found, tuple(result.shape)))

    return rule


def _cut(shadow: Shadow, shape: tuple[int, ...]) -> Shadow:
    """Of a mixture that is the same along an axis, as much as a result has."""
    return shadow.each(lambda plane: plane[tuple(slice(0, size) for size in shape)])


def running_sum(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """cumsum: each element sums those before it; of one neuron's elements the way stays direct."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    axis = axes_of(argument(func, args, kwargs, "dim", 0), args[0].ndim)[0]
    moved = np.moveaxis(shadow.codes, axis + 1, -1)
    if shadow.mixed is None and (moved == moved[..., :1]).all():
        gains = None if shadow.gains is None else np.cumsum(shadow.gains, axis=axis + 1)
        tracer.put(out, retagged(tracer.flow, Shadow(shadow.codes, gains), ("cumsum",)))
        return
    tracer.put(out, along(tracer.flow, shadow, [axis], ("cumsum",)))


def layer_norm(word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        x, sizes = args[0], argument(func, args, kwargs, "normalized_shape")
        axes = list(range(x.ndim - len(sizes), x.ndim))
        weight, eps = (argument(func, args, kwargs, name) for name in ("weight", "eps"))
        slope = None
        if tracer.numbers:
            given = tracer.array(x)
            eps = torch.finfo(x.dtype).eps if eps is None else eps
            centred = given if "rms" in word else given - given.mean(axis=tuple(axes), keepdims=True)
            scale = 1 / np.sqrt((centred**2).mean(axis=tuple(axes), keepdims=True) + eps)
            slope = np.broadcast_to(scale, given.shape) * (1.0 if weight is None else tracer.array(weight))
        touch(
            tracer,
            tuple(v for v in (weight, argument(func, args, kwargs, "bias")) if v is not None),
            shadow,
            tuple(x.shape),
        )
        tracer.put(next(tensors(out)), normed(tracer.flow, shadow, axes, slope, (word,)))

    return rule


def batch_norm(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    x = args[0]
    shadow = tracer.shadow(x)
    assert shadow is not None
    weight, bias, mean, var = (
        argument(func, args, kwargs, n) for n in ("weight", "bias", "running_mean", "running_var")
    )
    training = argument(func, args, kwargs, "training", argument(func, args, kwargs, "use_input_stats"))
    eps = argument(func, args, kwargs, "eps", 1e-5)
    _per_channel(tracer, (weight, bias, mean, var), shadow)
    own = "instance" in func._schema.name
    axes = [axis for axis in range(x.ndim) if axis != 1 and not (own and axis == 0)]
    slope = None
    if tracer.numbers:
        if training:
            spread = tracer.array(x).var(axis=tuple(axes), keepdims=True)
        else:
            spread = per_feature(tracer.array(var), x.shape, 1)
        slope = 1 / np.sqrt(spread + eps) * per_feature(tracer.array(weight), x.shape, 1)
    word = "instance_norm" if own else "batch_norm"
    if training:
        found = normed(tracer.flow, shadow, axes, slope, (word,))
    else:
        found = pointwise(tracer.flow, tuple(x.shape), [(shadow, slope)], (word,))
    tracer.put(next(tensors(out)), found)


def _per_channel(tracer: Tracer, values: Sequence[Any], shadow: Shadow) -> None:
    """Parameters with a number for each channel of an array meet it."""
    held = [v for v in values if v is not None and tracer.weights.origin(v) is not None]
    met = [(tracer.weights.path(v), 0) for v in held if v.shape[0] == shadow.shape[1]]
    tracer.flow.touched(met, shadow, 1)


def group_norm(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    x = args[0]
    shadow = tracer.shadow(x)
    assert shadow is not None
    groups, weight, bias = (argument(func, args, kwargs, n) for n in ("num_groups", "weight", "bias"))
    eps = argument(func, args, kwargs, "eps", 1e-5)
    _per_channel(tracer, (weight, bias), shadow)
    split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    axes = list(range(2, len(split)))
    slope = None
    if tracer.numbers:
        given = tracer.array(x).reshape(split)
        scale = 1 / np.sqrt(given.var(axis=tuple(axes), keepdims=True) + eps)
        wide = np.broadcast_to(scale, split).reshape(x.shape)
        slope = (wide * per_feature(tracer.array(weight), x.shape, 1)).reshape(split)
    found = normed(tracer.flow, shadow.shaped(*split), axes, slope, ("group_norm",))
    tracer.put(next(tensors(out)), found.shaped(*x.shape))

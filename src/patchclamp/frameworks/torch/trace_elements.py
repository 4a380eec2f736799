"""Operations of torch that work element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...flow import rules
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, apart, argument, axes_of, in_place, out_of_place, per_feature, shares, touch
from .tracer import Tracer, tensors

__all__ = ["chosen", "copied", "dropped", "forgotten", "glu", "left", "masked", "pointwise", "prelu", "same"]


QUIET = frozenset(["add", "sub", "rsub", "clone", "_to_copy", "to", "contiguous", "neg", "copy", "where"])


def pointwise(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Element by element. In place too: what stood there is replaced by what is made of it."""
    name = func._schema.name.partition("::")[2]
    for result in tensors(out):
        if not (result.is_floating_point() or result.is_complex()):
            if name == "_to_copy":
                _as_codes(tracer, result)
            tracer.put(result, None)
            continue
        shadows = [(at, s) for at, v in enumerate(args) if (s := tracer.shadow(v)) is not None]
        extra = [(key, s) for key, v in kwargs.items() if key != "out" and (s := tracer.shadow(v)) is not None]
        held = [(at, s) for at, s in [*shadows, *extra]]
        if not held:
            tracer.put(result, None)
            continue
        touch(tracer, args, held[0][1], tuple(result.shape))
        word = _word(name, len(held))
        slopes = _slopes(tracer, name, func, args, kwargs, [at for at, _ in held])
        operands = [(shadow, slope) for (_, shadow), slope in zip(held, slopes, strict=True)]
        found = rules.pointwise(tracer.flow, tuple(result.shape), operands, word)
        tracer.put(result, found)


def _word(name: str, count: int) -> tuple[str, ...]:
    base = name.rstrip("_")
    if base in ("add", "sub", "rsub"):
        return ("residual",) if count > 1 else ()
    if base == "mul":
        return ("product",) if count > 1 else ("scale",)
    if base == "div":
        return ("quotient",) if count > 1 else ("scale",)
    return () if base in QUIET else (base,)


def _slopes(tracer: Tracer, name: str, func: Any, args: Args, kwargs: Named, at: Sequence[Any]) -> list[Any]:
    """The derivative of each element of the result by the element of an operand at its place."""
    if not tracer.numbers:
        return [None] * len(at)
    base = name.rstrip("_")
    if base in ("clone", "_to_copy", "to", "contiguous"):
        return [1.0] * len(at)
    if base in ("add", "sub") and len(args) > 1:
        factor = kwargs.get("alpha", 1) * (-1 if base == "sub" else 1)
        return [1.0 if one == 0 else float(factor) for one in at]
    if base == "mul" and all(isinstance(one, int) for one in at) and not in_place(func):
        return [tracer.array(args[1 - one]) for one in at]
    if base in _SLOPES and len(at) == 1 and at[0] == 0:
        return [_SLOPES[base](tracer.array(args[0]), *args[1:])]
    return _derived(tracer, func, args, kwargs, at)


_SLOPES: dict[str, Callable[..., Any]] = {
    "relu": lambda x: x > 0,
    "relu6": lambda x: (x > 0) & (x < 6),
    "hardtanh": lambda x, low=-1.0, high=1.0: (x > low) & (x < high),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
}
"""What is cheaper by its formula than by torch's derivative."""


def _derived(tracer: Tracer, func: Any, args: Args, kwargs: Named, at: Sequence[Any]) -> list[Any]:
    """By torch's own derivative of the operation, in float64.

    An operation in place has already written over its operand, of which the tracer keeps a copy.
    """
    plain = out_of_place(func)
    found = []
    for one in at:
        with torch.inference_mode(False), torch.enable_grad():
            given = [apart(tracer.before.get(id(value), value)) for value in args]
            named = {key: apart(value) for key, value in kwargs.items() if key != "out"}
            shapes = [v.shape for v in (*given, *named.values()) if isinstance(v, torch.Tensor)]
            shape = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
            box: Any = given if isinstance(one, int) else named
            box[one] = box[one].expand(shape).clone().requires_grad_()
            result = plain(*given, **named)
            (slope,) = torch.autograd.grad(result.sum(), box[one], allow_unused=True)
        found.append(0.0 if slope is None else slope.numpy())
    return found


def chosen(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """where(mask, a, b)."""
    if len(args) < 3 or (tracer.shadow(args[1]) is None and tracer.shadow(args[2]) is None):
        tracer.put(out, None)
        return
    shape = tuple(out.shape)
    mask = np.broadcast_to(args[0].cpu().numpy(), shape) if tracer.numbers else None
    shadows = [s.spread(shape) if (s := tracer.shadow(value)) is not None else None for value in args[1:3]]
    if mask is None:
        held = [(shadow, None) for shadow in shadows if shadow is not None]
        tracer.put(out, rules.pointwise(tracer.flow, shape, held))
        return
    tracer.put(out, rules.joined(shadows, [shape, shape], lambda planes: np.where(mask, planes[0], planes[1])))


def masked(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """masked_fill(x, mask, value): what is filled is nobody's."""
    shadow = tracer.shadow(args[0])
    if shadow is not None and tracer.numbers:
        mask = args[1].cpu().numpy()
        shape = tuple(out.shape)
        shadow = shadow.spread(shape).each(lambda plane: np.where(np.broadcast_to(mask, shape), 0, plane))
    tracer.put(out, shadow)


def copied(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[1])
    tracer.put(args[0], None if shadow is None else shadow.spread(tuple(args[0].shape)))


def forgotten(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """What is made new, or filled with a number: nobody stands behind it."""
    for result in tensors(out):
        tracer.put(result, None)


def same(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """The result is the first argument, or a view or a copy of it in the same form."""
    shadow = tracer.shadow(args[0])
    for result in tensors(out):
        if not shares(result, args[0]):
            _as_codes(tracer, result)
            tracer.put(result, shadow if shadow is None else shadow.shaped(*result.shape))


def _as_codes(tracer: Tracer, result: torch.Tensor) -> None:
    """Numbers that neurons stand behind become whole ones: what is made of those is not followed."""
    if not (result.is_floating_point() or result.is_complex() or result.dtype == torch.bool):
        dtype = str(result.dtype).removeprefix("torch.")
        tracer.flow.note(f"unknown from a cast to {dtype} at {tracer.here or 'the network itself'}")


def left(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """A number leaves torch: where it goes is not seen. Whole numbers and yes or no are choices, no connections."""
    if args[0].is_floating_point():
        tracer.flow.note(f"unknown from item(): a number leaves torch at {tracer.here or 'the network itself'}")


def dropped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Dropout: in training a factor of 0 or more for each element."""
    shadow = tracer.shadow(args[0])
    result = next(tensors(out))
    if shadow is None or (shares(result, args[0]) and not in_place(func)):
        return
    given, made = tracer.array(args[0]), tracer.array(result.detach())
    slope = None if given is None else np.divide(made, given, out=np.zeros_like(given), where=given != 0)
    tracer.put(result, rules.pointwise(tracer.flow, tuple(result.shape), [(shadow, slope)], ("dropout",)))


def glu(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    x, axis = args[0], axes_of(argument(func, args, kwargs, "dim", -1), args[0].ndim)[0]
    half = x.shape[axis] // 2

    def part(start: int) -> Shadow:
        return shadow.each(lambda plane: np.take(plane, range(start, start + half), axis))

    parts = [part(0), part(half)]
    slopes: list[Any] = [None, None]
    if tracer.numbers:
        first, second = (np.take(tracer.array(x), range(start, start + half), axis) for start in (0, half))
        gate = 1 / (1 + np.exp(-second))
        slopes = [gate, first * gate * (1 - gate)]
    held = list(zip(parts, slopes, strict=True))
    tracer.put(out, rules.pointwise(tracer.flow, tuple(out.shape), held, ("glu",)))


def prelu(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    x, weight = args[0], args[1]
    slope = None
    if weight.numel() > 1 and tracer.weights.origin(weight) is not None:
        tracer.flow.touched([(tracer.weights.path(weight), 0)], shadow, 1)
    if tracer.numbers:
        factor = per_feature(tracer.array(weight).ravel(), x.shape, 1 if x.ndim > 1 else 0)
        slope = np.where(tracer.array(x) > 0, 1.0, factor)
    tracer.put(out, rules.pointwise(tracer.flow, tuple(out.shape), [(shadow, slope)], ("prelu",)))

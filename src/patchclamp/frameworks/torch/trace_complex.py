"""Complex numbers in torch: a shadow has their real and imaginary parts on one more axis, the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...flow import rules
from ...flow.shadow import Shadow
from .trace_calls import Args, Named, as_tensor, on_cpu, out_of_place, shares
from .tracer import Tracer, tensors

__all__ = ["complex_elements", "complex_moved"]


def complex_elements(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Element by element: each part of the result is made of both parts of the operands at its place."""
    held = [(at, s) for at, value in enumerate(args) if (s := tracer.shadow(value)) is not None]
    if any(tracer.shadow(value) is not None for value in kwargs.values()):
        tracer.lost(func, out, [shadow for _, shadow in held])
        return
    parts = 2 if out.is_complex() else 1
    slopes = [_slopes(tracer, func, args, kwargs, at, parts) for at, _ in held]
    shape = tuple(out.shape)
    made: list[Shadow | None] = []
    for part in range(parts):
        terms: list[tuple[Shadow, Any]] = []
        for (at, shadow), own in zip(held, slopes, strict=True):
            if args[at].is_complex():
                sides = [shadow.each(lambda plane, side=side: plane[..., side]) for side in (0, 1)]  # type: ignore[misc]
                terms += zip(sides, own[part], strict=True)
            else:
                terms.append((shadow, own[part][0]))
        terms = [(shadow, slope) for shadow, slope in terms if slope is None or np.any(slope)]
        made.append(rules.pointwise(tracer.flow, shape, terms, _words(func)) if terms else None)
    if all(one is None for one in made):
        tracer.put(out, None)
    else:
        together = np.stack if parts == 2 else lambda planes, axis: planes[0]
        tracer.put(out, rules.joined(made, [shape] * parts, lambda planes: together(planes, axis=-1)))


def _words(func: Any) -> tuple[str, ...]:
    name = func._schema.name.partition("::")[2].rstrip("_")
    return () if name in ("add", "sub", "clone", "_to_copy", "complex", "conj_physical", "_conj") else (name,)


def _slopes(tracer: Tracer, func: Any, args: Args, kwargs: Named, at: int, parts: int) -> Sequence[Sequence[Any]]:
    """For each part of the result the derivative by each part of an operand."""
    sides = 2 if args[at].is_complex() else 1
    if not tracer.numbers:
        return [[None] * sides] * parts
    with torch.inference_mode(False), torch.enable_grad():
        given = [_apart(tracer.before.get(id(value), value)) for value in args]
        shape = torch.broadcast_shapes(*(v.shape for v in given if isinstance(v, torch.Tensor)))  # type: ignore[no-untyped-call]
        whole = given[at].expand(shape).clone()
        leaf = (torch.view_as_real(whole) if sides == 2 else whole).clone().requires_grad_()
        given[at] = torch.view_as_complex(leaf) if sides == 2 else leaf
        result = out_of_place(func)(*given, **kwargs)
        found = []
        for part in (result.real, result.imag) if parts == 2 else (result,):
            (slope,) = torch.autograd.grad(part.sum(), leaf, allow_unused=True, retain_graph=True)
            array = np.zeros(tuple(leaf.shape)) if slope is None else slope.numpy()
            found.append([array[..., side] for side in (0, 1)] if sides == 2 else [array])
    return found


def _apart(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    wide = torch.complex128 if value.is_complex() else torch.float64
    return value.detach().resolve_conj().resolve_neg().to("cpu", wide, copy=True)


def complex_moved(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Elements go to other places, both parts of each together."""
    shadow = tracer.shadow(args[0])
    for number, result in enumerate(tensors(out)):
        if shadow is not None and not shares(result, args[0]):
            tracer.put(result, shadow.each(_both(func, args, kwargs, number)))


def _both(func: Any, args: Args, kwargs: Named, number: int) -> Callable[[Any], Any]:
    given = [on_cpu(value) for value in args[1:]]
    named = {key: on_cpu(value) for key, value in kwargs.items()}

    def do(plane: Any) -> Any:
        sides = (func(as_tensor(plane[..., side]), *given, **named) for side in (0, 1))
        return np.stack([list(tensors(side))[number].numpy() for side in sides], axis=-1)

    return do

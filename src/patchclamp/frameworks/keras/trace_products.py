"""Keras layers and operations that multiply and sum up two arrays, neither of which is weights."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...flow.contraction import contracted
from ...flow.shadow import Shadow
from .trail import Call, Lost, leaves

__all__ = ["dot", "einsum", "matmul"]


def matmul(call: Call) -> None:
    """The last axis of one with the last but one of the other, the axes before them broadcast."""
    a, b = leaves(call.args)
    if min(len(a.shape), len(b.shape)) < 2:
        raise Lost
    rank = len(call.shape)
    lead = string.ascii_letters[: rank - 2]
    wide = [tuple(one.shape) for one in (a, b)]
    lengths = [(1,) * (rank - len(shape)) + shape for shape in wide]
    sides = []
    for value, shape in zip((a, b), lengths, strict=True):
        full = (*call.shape[:-2], *shape[-2:])
        shadow = call.trail.shadow(value)
        numbers = call.trail.array(value)
        wider = None if shadow is None else shadow.shaped(*shape).spread(full)
        sides.append((wider, None if numbers is None else np.broadcast_to(numbers.reshape(shape), full), full))
    _product(call, f"{lead}YZ,{lead}ZX->{lead}YX", sides)


def einsum(call: Call) -> None:
    equation = call.layer.subscripts.replace(" ", "")
    entering = leaves(call.args)
    if "." in equation or "->" not in equation or len(entering) != 2:
        raise Lost
    sides = [(call.trail.shadow(one), call.trail.array(one), tuple(one.shape)) for one in entering]
    _product(call, equation, sides)


def dot(call: Call) -> None:
    a, b = leaves(call.args)
    axes = call.layer.axes
    axes = [axes, axes] if isinstance(axes, int) else list(axes)
    if call.layer.normalize:
        raise Lost
    first, second = "a" + string.ascii_letters[1 : len(a.shape)], "a" + string.ascii_letters[26 : 25 + len(b.shape)]
    first, second = (
        "".join("Z" if at == axis % len(term) else letter for at, letter in enumerate(term))
        for term, axis in zip((first, second), axes, strict=True)
    )
    out = "a" + (first + second).replace("a", "").replace("Z", "")
    sides = [(call.trail.shadow(one), call.trail.array(one), tuple(one.shape)) for one in (a, b)]
    _product(call, f"{first},{second}->{out}", sides)


def _product(call: Call, equation: str, sides: Sequence[tuple[Shadow | None, Any, tuple[int, ...]]]) -> None:
    terms = equation.partition("->")[0].split(",")
    if any(len(set(term)) < len(term) for term in terms):
        raise Lost
    sizes = {
        letter: size
        for term, side in zip(terms, sides, strict=True)
        for letter, size in zip(term, side[2], strict=True)
    }
    found = contracted(call.flow, equation, sides[0][:2], sides[1][:2], sizes)
    call.give(None if found is None else found.shaped(*call.shape))

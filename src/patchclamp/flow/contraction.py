"""Sums of products: of an array with weights, which makes connections, and of two arrays that neurons stand behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .flow import Flow
from .rules import merged, retagged
from .shadow import Floats, Shadow, coded, label_of

__all__ = ["contracted"]

Operand = tuple[Shadow | None, Any]
"""The shadow of a factor, and its numbers (None in a trace without numbers)."""


def contracted(
    flow: Flow, equation: str, a: Operand, b: Operand, sizes: dict[str, int], words: Sequence[str] = ()
) -> Shadow | None:
    """The product of two arrays neither of which is weights: `equation` in the letters of einsum, "ik,kj->ij".

    Where all summed elements of one factor are one neuron's, as the values under an attention pattern, it reaches the
    result directly, with the other factor's numbers for gain. Different neurons in one sum are a mixture.
    """
    left, _, out = equation.partition("->")
    first, second = left.split(",")
    found = None
    for own, other, (shadow, _), (_, factor) in ((first, second, a, b), (second, first, b, a)):
        if shadow is None:
            continue
        side = _side(flow, (own, other, out), shadow, factor, sizes)
        found = side if found is None else merged(flow, found, side)
    return None if found is None else retagged(flow, found, words)


def _side(flow: Flow, letters: tuple[str, str, str], shadow: Shadow, factor: Any, sizes: dict[str, int]) -> Shadow:
    own, other, out = letters
    kept = [letter for letter in out if letter in own]
    summed = [letter for letter in own if letter not in out]
    order = [own.index(letter) for letter in (*kept, *summed)]
    rows = tuple(sizes[letter] for letter in kept)
    flat = shadow.turned(order).shaped(*rows, int(np.prod([sizes[letter] for letter in summed])))
    shape = tuple(sizes[letter] for letter in out)
    place = tuple(sizes[letter] if letter in kept else 1 for letter in out)
    planes: list[Shadow] = []
    spoiled = np.zeros(rows, bool)
    for at, codes in enumerate(flat.codes):
        top = codes.max(axis=-1, initial=0)
        alike = ((label_of(codes) == label_of(top)[..., None]) | (codes == 0)).all(axis=-1)
        spoiled |= ~alike
        code = np.broadcast_to(np.where(alike, top, 0).reshape(place), shape)
        gain = None
        if shadow.gains is not None and factor is not None:
            own_gain = np.where(shadow.codes[at] != 0, shadow.gains[at], 0.0)
            gain = np.where(code != 0, np.einsum(f"{own},{other}->{out}", own_gain, _wide(factor)), 0.0)[None]
        planes.append(Shadow(code[None], gain))
    none = np.zeros((0, *shape), np.int64)
    found = Shadow(none, none.astype(float) if factor is not None and shadow.gains is not None else None)
    for plane in planes:
        if plane.codes.any():
            found = merged(flow, found, plane) if len(found.codes) else plane
    mixed = None
    if spoiled.any() or shadow.mixed is not None:
        axes = [own.index(letter) for letter in summed]
        group = flow.groups.over(shadow, axes)
        in_order = [letter for letter in own if letter in kept]
        group = group.transpose([in_order.index(letter) for letter in kept])
        if shadow.mixed is None:
            group = np.where(spoiled, group, 0)
        mixed = np.broadcast_to(coded(group, flow.tags.number(("mixed",))).reshape(place), shape)
    return Shadow(found.codes, found.gains, mixed)


def _wide(factor: Any) -> Floats:
    return np.asarray(factor, dtype=np.float64)

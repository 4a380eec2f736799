"""How shadows pass the operations of a network: a rule for each of the few ways in which an operation moves numbers.

An adapter says for each operation of its framework which rule holds; the rules know no framework. Labels do not depend
on numbers; gains do: the adapter hands the slopes, the change of each element of the result per unit of an operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .flow import Flow
from .registry import pairs_of
from .shadow import LABEL, SHIFT, Floats, Ints, Shadow, coded, label_of, layered

__all__ = ["along", "fresh", "joined", "merged", "normed", "pointwise", "pooled", "reduced", "retagged", "unknown"]

Slope = float | Floats | None
"""A number for all elements, one for each, or None where a trace has no numbers."""
Windows = Callable[[Any], Any]


def fresh(flow: Flow, labels: Ints, shape: tuple[int, ...], numbers: bool = True) -> Shadow:
    """The shadow of what a layer of weights gives: these neurons, broadcast to its shape, each with gain 1."""
    flow.ran(labels.ravel())
    codes = np.broadcast_to(coded(labels), (1, *shape))
    return Shadow(codes, np.broadcast_to(np.float64(1), codes.shape) if numbers else None)


def retagged(flow: Flow, shadow: Shadow, words: Sequence[str]) -> Shadow:
    """The same with more words on its path."""
    if not words:
        return shadow
    mixed = None if shadow.mixed is None else flow.tags.adding(shadow.mixed, words)
    return Shadow(flow.tags.adding(shadow.codes, words), shadow.gains, mixed)


def pointwise(
    flow: Flow, shape: tuple[int, ...], operands: Sequence[tuple[Shadow, Slope]], words: Sequence[str] = ()
) -> Shadow:
    """Each element of the result is made of the elements of the operands at its place, broadcast."""
    found: Shadow | None = None
    for shadow, slope in operands:
        wide = retagged(flow, shadow, words).spread(shape)
        gains = None if wide.gains is None or slope is None else _times(wide.gains, slope)
        wide = Shadow(wide.codes, gains, wide.mixed)
        found = wide if found is None else merged(flow, found, wide)
    assert found is not None
    return found


def _times(gains: Floats, slope: float | Floats) -> Floats:
    return gains if isinstance(slope, (int, float)) and slope == 1 else gains * slope


def merged(flow: Flow, a: Shadow, b: Shadow) -> Shadow:
    """Both at each element. One neuron that is there twice is there once, with the sum of its gains."""
    mixed = _mixed_union(flow, a.mixed, b.mixed)
    if not b.codes.shape[0] or not a.codes.shape[0]:
        first = a if a.codes.shape[0] else b
        return Shadow(first.codes, first.gains, mixed)
    numbers = a.gains is not None and b.gains is not None
    if _apart(a, b):
        both = None
        if a.gains is not None and b.gains is not None:
            both = np.concatenate([a.gains, np.where(b.codes != 0, b.gains, 0.0)])
        return Shadow(np.concatenate([a.codes, b.codes]), both, mixed)
    codes = list(a.codes)
    gains: list[Any] = list(a.gains) if numbers and a.gains is not None else [None] * len(codes)
    for at, plane in enumerate(b.codes):
        gain = b.gains[at] if numbers and b.gains is not None else None
        _laid(flow, codes, gains, plane, gain)
    return Shadow(np.stack(codes), np.stack(gains) if numbers else None, mixed)


def _apart(a: Shadow, b: Shadow) -> bool:
    """Whether no neuron can be in both and no plane of the first has room: as of the terms of a residual sum."""
    if not a.codes.size or not b.codes.size or not a.codes.all():
        return False
    axes = tuple(range(1, a.codes.ndim))
    own, other = label_of(a.codes), label_of(b.codes)
    low, high = own.min(axis=axes), own.max(axis=axes)
    least, most = np.where(other == 0, LABEL, other).min(axis=axes)[:, None], other.max(axis=axes)[:, None]
    return bool(((most < low) | (least > high)).all())


def _laid(flow: Flow, codes: list[Ints], gains: list[Any], plane: Ints, gain: Any) -> None:
    """Lay one more plane over others: into those that have its neurons, or room for them, else behind them."""
    label = label_of(plane)
    for at, there in enumerate(codes):
        same = (label_of(there) == label) & (plane != 0)
        if same.any():
            codes[at] = np.where(same, flow.tags.joined(np.where(same, there, plane), plane), there)
            if gain is not None:
                gains[at] = np.where(same, gains[at] + gain, gains[at])
            plane = np.where(same, 0, plane)
            label = label_of(plane)
            if not plane.any():
                return
    for at, there in enumerate(codes):
        if not ((there != 0) & (plane != 0)).any():
            codes[at] = np.where(plane != 0, plane, there)
            if gain is not None:
                gains[at] = np.where(plane != 0, gain, gains[at])
            return
    codes.append(plane)
    gains.append(None if gain is None else np.where(plane != 0, gain, 0.0))


def _mixed_union(flow: Flow, a: Ints | None, b: Ints | None) -> Ints | None:
    if a is None or b is None or a is b:
        return b if a is None else a
    if a.shape == b.shape and (a == b).all():
        return a
    a, b = np.broadcast_arrays(a, b)
    pairs, which = pairs_of(a, b)
    return np.array([_mixture(flow, x, y) for x, y in pairs], np.int64)[which].reshape(a.shape)


def _mixture(flow: Flow, a: int, b: int) -> int:
    if not a or not b:
        return a or b
    group = flow.groups.union([a & LABEL, b & LABEL])
    return flow.tags.union(a >> SHIFT, b >> SHIFT) << SHIFT | group


def joined(
    shadows: Sequence[Shadow | None], shapes: Sequence[tuple[int, ...]], do: Callable[[list[Any]], Any]
) -> Shadow:
    """Arrays laid side by side (concatenated, stacked): `do` is carried out on the planes of all of them."""
    held = [shadow for shadow in shadows if shadow is not None]
    planes = max(len(shadow.codes) for shadow in held)
    numbers = all(shadow.gains is not None for shadow in held)
    empty = [np.zeros(shape, np.int64) for shape in shapes]

    def laid(pick: Callable[[Shadow], Any], at: int) -> Any:
        parts = []
        for shadow, none in zip(shadows, empty, strict=True):
            stack = None if shadow is None else pick(shadow)
            parts.append(none if stack is None or at >= len(stack) else np.ascontiguousarray(stack[at]))
        kind = np.result_type(*parts)
        return np.asarray(do([part.astype(kind, copy=False) for part in parts]))

    codes = [laid(lambda shadow: shadow.codes, at) for at in range(planes)]
    gains = [laid(lambda shadow: shadow.gains, at) for at in range(planes)] if numbers else []
    mixed = None
    if any(shadow.mixed is not None for shadow in held):
        mixed = laid(lambda shadow: None if shadow.mixed is None else shadow.mixed[None], 0)
    shape = codes[0].shape if codes else mixed.shape if mixed is not None else ()
    return Shadow(layered(codes, shape, np.int64), layered(gains, shape, float) if numbers else None, mixed)


def reduced(flow: Flow, shadow: Shadow, axes: Sequence[int], weights: Slope, words: Sequence[str] = ()) -> Shadow:
    """Elements along some axes become one, each times its weight. The axes are gone.

    Where all of them are one neuron's the way stays direct; several neurons in one plane are a mixture.
    """
    kept = [axis for axis in range(len(shadow.shape)) if axis not in axes]
    order = [*kept, *axes]
    shape = tuple(shadow.shape[axis] for axis in kept)
    count = math.prod(shadow.shape[axis] for axis in axes)
    flat = shadow.turned(order).shaped(*shape, count)
    if isinstance(weights, np.ndarray):
        weights = np.broadcast_to(weights, shadow.shape).transpose(order).reshape(*shape, count)
    planes: list[Shadow] = []
    spoiled = np.zeros(shape, bool)
    for at, codes in enumerate(flat.codes):
        top = codes.max(axis=-1, initial=0)
        alike = ((label_of(codes) == label_of(top)[..., None]) | (codes == 0)).all(axis=-1)
        spoiled |= ~alike
        gain = None
        if flat.gains is not None and weights is not None:
            gain = (np.where(codes != 0, flat.gains[at], 0.0) * weights).sum(axis=-1)
            gain = np.where(alike, gain, 0.0)[None]
        planes.append(Shadow(np.where(alike, top, 0)[None], gain))
    found = Shadow(np.zeros((0, *shape), np.int64), None if weights is None else np.zeros((0, *shape)))
    for plane in planes:
        if plane.codes.any():
            found = merged(flow, found, plane) if len(found.codes) else plane
    mixed = None
    if spoiled.any() or shadow.mixed is not None:
        group = flow.groups.over(shadow, axes)
        if not spoiled.all() and shadow.mixed is None:
            group = np.where(spoiled, group, 0)
        mixed = coded(group, flow.tags.number(("mixed",)))
    return retagged(flow, Shadow(found.codes, found.gains, mixed), words)


def along(flow: Flow, shadow: Shadow, axes: Sequence[int], words: Sequence[str] = ()) -> Shadow:
    """Each element of the result is made of all the elements along some axes, as of a softmax: a mixture."""
    group = np.expand_dims(flow.groups.over(shadow, axes), tuple(axes))
    mixed = np.broadcast_to(coded(group, flow.tags.number((*words, "mixed"))), shadow.shape)
    none = np.zeros((0, *shadow.shape), np.int64)
    return Shadow(none, None if shadow.gains is None else none.astype(float), mixed)


def normed(flow: Flow, shadow: Shadow, axes: Sequence[int], slope: Slope, words: Sequence[str]) -> Shadow:
    """A norm over some axes: direct to the element itself, and a mixture through the statistic."""
    direct = pointwise(flow, shadow.shape, [(shadow, slope)], words)
    group = np.expand_dims(flow.groups.over(shadow, axes), tuple(axes))
    if all(len(flow.groups.members[one]) < 2 for one in np.unique(group)) and shadow.mixed is None:
        return direct  # nobody else is behind the statistic
    statistic = np.broadcast_to(coded(group, flow.tags.number((*words, "statistic"))), shadow.shape)
    return Shadow(direct.codes, direct.gains, _mixed_union(flow, direct.mixed, statistic))


def pooled(flow: Flow, shadow: Shadow, highest: Windows, gain: Windows | None, words: Sequence[str]) -> Shadow:
    """Windows of a map (batch, channel, *at) become one element each: `highest` takes the greatest number of each.

    `gain` pools a plane of gains as the layer pools numbers: the mean, or what stands where the greatest was.
    """
    if shadow.mixed is None and gain is not None and shadow.gains is not None and _even(shadow):
        gains = np.stack([np.asarray(gain(plane)) for plane in shadow.gains])
        first = shadow.codes.reshape(*shadow.codes.shape[:3], -1)[..., :1]
        codes = np.broadcast_to(first.reshape(*first.shape[:3], *(1,) * (gains.ndim - 3)), gains.shape)
        return retagged(flow, Shadow(codes, gains), words)
    return _windows(flow, shadow, highest, gain, words)


def _even(shadow: Shadow) -> bool:
    """Whether each channel is one neuron's everywhere on its map."""
    maps = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    return bool(maps.shape[-1] and (maps == maps[..., :1]).all())


def _windows(flow: Flow, shadow: Shadow, highest: Windows, gain: Windows | None, words: Sequence[str]) -> Shadow:
    codes, gains, spoiled = [], [], None
    for at, plane in enumerate(shadow.codes):
        top = np.asarray(highest(plane.astype(float))).astype(np.int64)
        least = -np.asarray(highest(-np.where(plane == 0, LABEL, label_of(plane)).astype(float))).astype(np.int64)
        most = np.asarray(highest(label_of(plane).astype(float))).astype(np.int64)
        alike = (least == most) | (most == 0)
        spoiled = ~alike if spoiled is None else spoiled | ~alike
        codes.append(np.where(alike, top, 0))
        if gain is not None and shadow.gains is not None:
            gains.append(np.where(alike, gain(np.where(plane != 0, shadow.gains[at], 0.0)), 0.0))
    if not codes:
        assert shadow.mixed is not None
        mixed = _windowed(flow, shadow, highest)
        none = np.zeros((0, *mixed.shape), np.int64)
        return retagged(flow, Shadow(none, none.astype(float), mixed), words)
    assert spoiled is not None
    shape = codes[0].shape
    found = Shadow(codes[0][None], gains[0][None] if gains else None)
    for at in range(1, len(codes)):
        found = merged(flow, found, Shadow(codes[at][None], gains[at][None] if gains else None))
    found_mixed = None
    if shadow.mixed is not None or spoiled.any():
        wide = _windowed(flow, shadow, highest)
        found_mixed = wide if shadow.mixed is not None else np.where(spoiled, wide, 0)
    return retagged(flow, Shadow(found.codes.reshape(-1, *shape), found.gains, found_mixed), words)


def _windowed(flow: Flow, shadow: Shadow, highest: Windows) -> Ints:
    """The group of each window. A number for each (batch, channel) is enough where all of its map is one group;
    else each window takes all that stands behind its map, which may be more than its own elements."""
    rank = len(shadow.shape)
    group = flow.groups.over(shadow, range(2, rank))
    size = np.asarray(highest(np.zeros(shadow.shape))).shape
    wide = np.broadcast_to(group.reshape(*group.shape, *(1,) * (rank - 2)), size)
    return coded(wide, flow.tags.number(("mixed",)))


def unknown(flow: Flow, shadows: Sequence[Shadow], shape: tuple[int, ...], text: str) -> Shadow:
    """What an operation gives of which nothing is known: everybody who enters may stand behind every element."""
    label = flow.cells.add("", "", 1, text=text).start
    parts = [np.array([label])]
    for shadow in shadows:
        parts.append(np.unique(label_of(shadow.codes)))
        if shadow.mixed is not None:
            parts += [flow.groups.members[group] for group in np.unique(shadow.mixed & LABEL)]
    group = flow.groups.number(np.concatenate(parts))
    mixed = np.broadcast_to(coded(np.int64(group), flow.tags.number((text,))), shape)  # type: ignore[arg-type]
    none = np.zeros((0, *shape), np.int64)
    return Shadow(none, none.astype(float), mixed)

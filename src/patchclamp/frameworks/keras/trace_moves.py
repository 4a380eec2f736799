"""Keras layers and operations that put elements in other places, sum them up, or take them by windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ...flow import rules
from ...flow.shadow import Shadow
from .trace_elements import axes_of
from .trail import Call, Lost, floating, leaves
from .unchanged import under

__all__ = ["channels", "flattened", "moved", "over_axis", "pooled", "reduced", "resized"]

Rule = Callable[[Call], None]
FEW = 16
"""How many elements a sum may add up for each to be heard by itself, as terms of a residual sum are."""


def moved(*words: str) -> Rule:
    """Elements go to other places. Where, the operation itself says, which is given the numbers of the places."""

    def rule(call: Call) -> None:
        given = {id(value): value for value in leaves((call.args, dict(call.kwargs))) if floating(value)}
        shadows = [call.trail.shadow(value) for value in given.values()]
        if not any(shadow is not None for shadow in shadows):
            return
        shapes = [tuple(value.shape) for value in given.values()]
        for result, index in zip(leaves(call.out), _places(call, given), strict=True):

            def taken(planes: list[Any], index: Any = index) -> Any:
                every = np.concatenate([np.zeros(1, planes[0].dtype), *(plane.ravel() for plane in planes)])
                return every[index]

            found = rules.joined(shadows, shapes, taken)
            call.trail.put(result, rules.retagged(call.flow, found, words))

    return rule


def flattened(call: Call) -> None:
    """An array in another shape. Where the positions of a map become features the path says so: flatten."""
    moved()(call)
    shadow = call.trail.shadow(call.result)
    if shadow is None or not 1 < len(call.shape) < len(call.x.shape) or not len(shadow.codes):
        return
    row = shadow.codes[0].reshape(-1, call.shape[-1])[0]
    row = row[row > 0]
    if row.size > len(np.unique(row)):
        call.give(rules.retagged(call.flow, shadow, ("flatten",)))


def _places(call: Call, given: dict[int, Any]) -> list[Any]:
    """For each array that leaves, where its elements come from: 0 for those that are nobody's."""
    sizes = [math.prod(value.shape) for value in given.values()]
    total = sum(sizes)
    with under().wide():
        tries = []
        for shift in (1, 1 + total):
            starts = np.cumsum([shift, *sizes[:-1]])
            numbered = {
                key: keras.ops.convert_to_tensor(np.arange(start, start + size, dtype=np.float64).reshape(value.shape))
                for (key, value), start, size in zip(given.items(), starts, sizes, strict=True)
            }
            tries.append([under().values.numpy(one) for one in leaves(call.again(numbered))])
    found = []
    for first, second in zip(*tries, strict=True):
        step = second - first
        if not np.isin(step, (0, total)).all():
            raise Lost
        found.append(np.where(step == total, first, 0).astype(np.int64))
    return found


def reduced(word: str) -> Rule:
    """Elements along some axes become one, by the backend's own derivative."""

    def rule(call: Call) -> None:
        shadow = call.shadow
        if shadow is None:
            return
        x = call.x
        rank = len(x.shape)
        layer = call.layer
        axes = axes_of(layer.axis, rank) if hasattr(layer, "axis") else _positions(call, rank)
        weights = None
        if call.numbers:
            weights = under().slope(lambda one: leaves(call.again({id(x): one}))[0], call.trail.array(x))
        count = math.prod(x.shape[axis] for axis in axes)
        if count <= FEW and word in ("sum", "pool:mean"):
            found = _added_up(call, shadow, axes, weights, word)
        else:
            found = rules.reduced(call.flow, shadow, axes, weights, (word,))
        call.give(found.shaped(*call.shape))

    return rule


def _added_up(call: Call, shadow: Shadow, axes: list[int], weights: Any, word: str) -> Shadow:
    """A sum of few elements, term by term."""
    order = [*axes, *(axis for axis in range(len(shadow.shape)) if axis not in axes)]
    shape = tuple(shadow.shape[axis] for axis in order[len(axes) :])
    flat = shadow.turned(order).shaped(-1, *shape)
    factors = [None] * flat.shape[0] if weights is None else weights.transpose(order).reshape(-1, *shape)
    terms = [flat.each(lambda plane, term=term: plane[term]) for term in range(flat.shape[0])]  # type: ignore[misc]
    return rules.pointwise(call.flow, shape, list(zip(terms, factors, strict=True)), (word,))


def over_axis(word: str) -> Rule:
    """Each element is made of all those along an axis."""

    def rule(call: Call) -> None:
        shadow = call.shadow
        if shadow is None or tuple(shadow.shape) != call.shape:
            if shadow is not None:
                raise Lost
            return
        call.give(rules.along(call.flow, shadow, axes_of(getattr(call.layer, "axis", -1), len(call.shape)), (word,)))

    return rule


def channels(call: Call, rank: int) -> int:
    """The axis of the channels of a map."""
    first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    return 1 if first else rank - 1


def _positions(call: Call, rank: int) -> list[int]:
    own = channels(call, rank)
    return [axis for axis in range(1, rank) if axis != own]


def pooled(word: str) -> Rule:
    """Windows of a map: the greatest number of each, or their mean."""

    def rule(call: Call) -> None:
        shadow = call.shadow
        if shadow is None:
            return
        rank = len(call.shape)
        order = [0, channels(call, rank), *_positions(call, rank)]
        back = [order.index(axis) for axis in range(rank)]
        layer = call.layer
        how = _Windows(layer.pool_size, layer.strides, layer.padding)
        gain = None
        if call.numbers:
            gain = how.mean if word == "pool:mean" else how.chosen(call.trail.array(call.x).transpose(order))
        found = rules.pooled(call.flow, shadow.turned(order), how.highest, gain, (word,))
        found = found.turned(back)
        if tuple(found.shape) != call.shape:
            raise Lost
        call.give(found)

    return rule


class _Windows:
    """The windows of a pool over maps (batch, channel, *at)."""

    def __init__(self, size: Sequence[int], steps: Sequence[int], padding: str) -> None:
        self.size = tuple(size)
        self.steps = tuple(steps)
        self.same = padding == "same"

    def of(self, plane: Any, fill: float) -> Any:
        """The windows of a plane, their elements last, as one axis."""
        pads = [self._pad(*one) for one in zip(plane.shape[2:], self.size, self.steps, strict=True)]
        wide = np.pad(plane, [(0, 0), (0, 0), *pads], constant_values=fill)
        axes = tuple(range(2, plane.ndim))
        every = np.lib.stride_tricks.sliding_window_view(wide, self.size, axis=axes)
        some = every[(slice(None), slice(None), *(slice(None, None, step) for step in self.steps))]
        return some.reshape(*some.shape[: plane.ndim], -1)

    def highest(self, plane: Any) -> Any:
        return self.of(plane, -np.inf).max(axis=-1)

    def mean(self, plane: Any) -> Any:
        """Of the elements that lie on the map."""
        return self.of(plane, 0.0).sum(axis=-1) / self.of(np.ones(plane.shape), 0.0).sum(axis=-1)

    def chosen(self, x: Any) -> Callable[[Any], Any]:
        """What stands where the greatest number of each window of `x` stands."""
        where = self.of(x, -np.inf).argmax(axis=-1)[..., None]
        return lambda plane: np.take_along_axis(self.of(plane, 0.0), where, axis=-1)[..., 0]

    def _pad(self, length: int, size: int, step: int) -> tuple[int, int]:
        if not self.same:
            return 0, 0
        total = max((-(-length // step) - 1) * step + size - length, 0)
        return total // 2, total - total // 2


def resized(call: Call) -> None:
    """Maps made larger: of copies, or of means of elements of their own channel."""
    if getattr(call.layer, "interpolation", "nearest") == "nearest":
        moved("upsample")(call)
        return
    shadow = call.shadow
    if shadow is None:
        return
    rank = len(call.shape)
    order = [0, channels(call, rank), *_positions(call, rank)]
    turned = shadow.turned(order)
    flat = turned.codes.reshape(*turned.codes.shape[:3], -1)
    if shadow.mixed is not None or not (flat == flat[..., :1]).all():
        raise Lost
    back = [order.index(axis) for axis in range(rank)]
    size = tuple(call.shape[axis] for axis in order)
    codes = np.broadcast_to(flat[..., :1].reshape(*flat.shape[:3], *(1,) * (rank - 2)), (len(flat), *size))
    gains = None
    if shadow.gains is not None:
        x = id(call.x)
        with under().wide():
            planes = [call.again({x: keras.ops.convert_to_tensor(np.array(plane))}) for plane in shadow.gains]
            gains = np.stack([under().values.numpy(plane) for plane in planes])
        gains = gains.transpose(0, *(axis + 1 for axis in order))
    call.give(rules.retagged(call.flow, Shadow(codes, gains).turned(back), ("upsample",)))

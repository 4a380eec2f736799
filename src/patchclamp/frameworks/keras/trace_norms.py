"""Norms of Keras: direct to the element itself, and through the statistic where one is taken of what enters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...flow import rules
from ...flow.shadow import Shadow
from .trace_elements import axes_of
from .trail import Call, Lost
from .unchanged import under

__all__ = ["batch_norm", "group_norm", "layer_norm", "rms_norm", "unit_norm"]


def batch_norm(call: Call) -> None:
    shadow = call.shadow
    if shadow is None:
        return
    layer, rank = call.layer, len(call.shape)
    axis = axes_of(layer.axis, rank)[0]
    gamma, mean, variance = _touched(call, shadow, axis, ("gamma", "moving_mean", "moving_variance", "beta"))[:3]
    if bool(call.given.get("training")) and layer.trainable:
        axes = [one for one in range(rank) if one != axis]
        call.give(rules.normed(call.flow, shadow, axes, _slope(call, axes, (gamma, axis), True), ("batch_norm",)))
        return
    slope = None
    if call.numbers:
        assert mean is not None and variance is not None
        scale = 1 / np.sqrt(variance + layer.epsilon) * (1.0 if gamma is None else gamma)
        slope = np.broadcast_to(_along(scale, rank, axis), call.shape)
    call.give(rules.pointwise(call.flow, call.shape, [(shadow, slope)], ("batch_norm",)))


def layer_norm(call: Call) -> None:
    _over(call, bool(getattr(call.layer, "rms_scaling", False)), "layer_norm", ("gamma", "beta"))


def rms_norm(call: Call) -> None:
    _over(call, True, "rms_norm", ("scale",))


def unit_norm(call: Call) -> None:
    shadow = call.shadow
    if shadow is None:
        return
    axes, slope = axes_of(call.layer.axis, len(call.shape)), None
    if call.numbers:
        x = call.trail.array(call.x)
        length = np.sqrt((x**2).sum(axis=tuple(axes), keepdims=True))
        slope = np.broadcast_to(1 / np.maximum(length, 1e-6), x.shape)
    call.give(rules.normed(call.flow, shadow, axes, slope, ("unit_norm",)))


def group_norm(call: Call) -> None:
    shadow = call.shadow
    if shadow is None:
        return
    layer, shape = call.layer, call.shape
    rank = len(shape)
    axis = axes_of(layer.axis, rank)[0]
    gamma = _touched(call, shadow, axis, ("gamma", "beta"))[0]
    groups = shape[axis] if layer.groups == -1 else layer.groups
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    axes = [one for one in range(1, rank + 1) if one != axis]
    slope = None
    if call.numbers:
        x = call.trail.array(call.x).reshape(split)
        scale = 1 / np.sqrt(x.var(axis=tuple(axes), keepdims=True) + layer.epsilon)
        factor = np.ones(1) if gamma is None else _along(gamma, rank, axis)
        slope = (np.broadcast_to(scale, split).reshape(shape) * factor).reshape(split)
    found = rules.normed(call.flow, shadow.shaped(*split), axes, slope, ("group_norm",))
    call.give(found.shaped(*shape))


def _over(call: Call, rms: bool, word: str, names: tuple[str, ...]) -> None:
    shadow = call.shadow
    if shadow is None:
        return
    axes = axes_of(call.layer.axis, len(call.shape))
    gamma: Any = None
    if len(axes) == 1:
        gamma = _touched(call, shadow, axes[0], names)[0]
    elif axes == sorted(axes):
        gamma = _held(call, names[0])
    else:
        raise Lost
    slope = None
    if call.numbers:
        slope = _slope(call, axes, (None, 0), not rms)
        if gamma is not None:
            shape = [size if axis in axes else 1 for axis, size in enumerate(call.shape)]
            slope = slope * gamma.reshape(shape)
    call.give(rules.normed(call.flow, shadow, axes, slope, (word,)))


def _slope(call: Call, axes: list[int], scale: tuple[Any, int], centred: bool) -> Any:
    """One over the spread along some axes, which is held, at each element."""
    if not call.numbers:
        return None
    x = call.trail.array(call.x)
    x = x - x.mean(axis=tuple(axes), keepdims=True) if centred else x
    found = 1 / np.sqrt((x**2).mean(axis=tuple(axes), keepdims=True) + call.layer.epsilon)
    factor, axis = scale
    return np.broadcast_to(found, x.shape) * (1.0 if factor is None else _along(factor, x.ndim, axis))


def _touched(call: Call, shadow: Shadow, axis: int, names: tuple[str, ...]) -> list[Any]:
    """Which neurons pass which elements of the layer's arrays along one axis; their numbers."""
    found = []
    for name in names:
        held = _held(call, name)
        if held is not None:
            call.flow.touched([(call.array(name).path, 0)], shadow, axis)
        found.append(held)
    return found


def _held(call: Call, name: str) -> Any:
    """The numbers of an array of the layer; None where it has none."""
    try:
        return under().values.numpy(call.array(name).storage.read(()))
    except Lost:
        return None


def _along(values: Any, rank: int, axis: int) -> Any:
    return values.reshape([-1 if at == axis else 1 for at in range(rank)])

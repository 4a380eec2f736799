"""Nodes that gather elements: norms, reductions, pools, and what works along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...flow.rules import along, normed, pointwise, pooled, reduced, retagged
from ...flow.shadow import Shadow
from .trace_elements import touched
from .trace_graph import Call, Rule, given, lost, opset

__all__ = ["NORMS"]


def _first(call: Call) -> Shadow | None:
    """Who stands behind the first input; where somebody stands behind another too, the node is not followed."""
    shadow = call.shadow(0)
    if shadow is None or len(call.operands) > 1:
        lost(call)
        return None
    return shadow


def _per_channel(values: Any, rank: int) -> Any:
    return values.reshape([-1 if axis == 1 else 1 for axis in range(rank)])


def _channels(call: Call, places: range, shadow: Shadow) -> None:
    """Parameters that have a number for each channel meet an array."""
    for at in places if len(shadow.codes) else ():
        held = call.held(at)
        home = call.tracer.weights.home(held, 0, call.layer) if held is not None and len(held.shape) == 1 else None
        if home is not None and held is not None and held.shape[0] == shadow.shape[1]:
            call.flow.touched([home], shadow, 1)


def _batch_norm(call: Call) -> None:
    shadow = _first(call)
    if shadow is None:
        return
    _channels(call, range(1, 5), shadow)
    rank, eps = len(shadow.shape), call.said.get("epsilon", 1e-5)
    axes = [axis for axis in range(rank) if axis != 1]
    training = bool(call.said.get("training_mode", 0))
    slope = None
    if call.numbers:
        spread = call.array(0).var(axis=tuple(axes), keepdims=True) if training else _per_channel(call.array(4), rank)
        scale = _per_channel(call.array(1), rank) / np.sqrt(spread + eps)
        slope = np.broadcast_to(scale, shadow.shape)
    if training:
        call.put(normed(call.flow, shadow, axes, slope, ("batch_norm",)))
    else:
        call.put(pointwise(call.flow, shadow.shape, [(shadow, slope)], ("batch_norm",)))


def _steep(x: Any, axes: list[int], eps: float, centred: bool) -> Any:
    """One over the standard deviation, or over the root of the mean of squares."""
    apart = x - x.mean(axis=tuple(axes), keepdims=True) if centred else x
    return 1 / np.sqrt((apart**2).mean(axis=tuple(axes), keepdims=True) + eps)


def _instance_norm(call: Call) -> None:
    shadow = _first(call)
    if shadow is None:
        return
    _channels(call, range(1, 3), shadow)
    axes = list(range(2, len(shadow.shape)))
    slope = None
    if call.numbers:
        steep = _steep(call.array(0), axes, call.said.get("epsilon", 1e-5), True)
        slope = np.broadcast_to(steep * _per_channel(call.array(1), len(shadow.shape)), shadow.shape)
    call.put(normed(call.flow, shadow, axes, slope, ("instance_norm",)))


def _group_norm(call: Call) -> None:
    shadow = _first(call)
    if shadow is None:
        return
    _channels(call, range(1, 3), shadow)
    shape, groups = shadow.shape, call.said["num_groups"]
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    axes = list(range(2, len(split)))
    slope = None
    if call.numbers:
        steep = _steep(call.array(0).reshape(split), axes, call.said.get("epsilon", 1e-5), True)
        weight = call.array(1)
        weight = np.repeat(weight, shape[1] // weight.size)
        wide = np.broadcast_to(steep, split).reshape(shape) * _per_channel(weight, len(shape))
        slope = wide.reshape(split)
    call.put(normed(call.flow, shadow.shaped(*split), axes, slope, ("group_norm",)).shaped(*shape))


def _layer_norm(word: str, weight: int = 1, skip: bool = False) -> Rule:
    """A norm over the last axes; some nodes of ONNX Runtime first add what skipped some layers."""

    def rule(call: Call) -> None:
        shape = call.out_shape
        axis = call.said.get("axis", -1) % len(shape)
        axes = list(range(axis, len(shape)))
        entering = (0, 1) if skip else (0,)
        if any(at not in entering for at, _ in call.operands):
            lost(call)
            return
        entered = [(shadow, 1.0 if call.numbers else None) for _, shadow in call.operands]
        shadow = pointwise(call.flow, shape, entered, ("residual",) if len(entered) > 1 else ())
        slope = None
        if call.numbers:
            x = sum(call.array(at) for at in entering)
            if skip and call.has(weight + 2):
                x = x + call.array(weight + 2)
            steep = _steep(x, axes, call.said.get("epsilon", 1e-12 if skip else 1e-5), "rms" not in word)
            slope = np.broadcast_to(steep, shape) * (call.array(weight) if call.has(weight) else 1.0)
        touched(call, shadow)
        call.put(normed(call.flow, shadow, axes, slope, (word,)))
        if skip and call.gives(3):
            call.put(shadow, 3)

    return rule


def _axes(call: Call, rank: int) -> list[int]:
    """The axes that a reduction takes away: an attribute once, an input now."""
    given = call.said.get("axes")
    if given is None and call.has(1):
        given = call.value(1).tolist()
    if not given:
        return [] if call.said.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in given)


def _one_of(x: Any, made: Any) -> Any:
    alike = x == made
    return alike.astype(np.float64)


_REDUCED: dict[str, Callable[[Any, Any], Any]] = {
    "ReduceSum": lambda x, y: 1.0,
    "ReduceMax": _one_of,
    "ReduceMin": _one_of,
    "ReduceL1": lambda x, y: np.sign(x),
    "ReduceL2": lambda x, y: x / y,
    "ReduceSumSquare": lambda x, y: 2 * x,
    "ReduceLogSumExp": lambda x, y: np.exp(x - y),
    "ReduceLogSum": lambda x, y: np.exp(-y),
    "ReduceProd": lambda x, y: y / x,
}
"""The slope of a reduction by each element, from what enters and what leaves."""


def _reduced(call: Call) -> None:
    shadow = _first(call)
    if shadow is None:
        return
    rank = len(shadow.shape)
    axes = list(range(2, rank)) if call.op.startswith("Global") else _axes(call, rank)
    count = math.prod(shadow.shape[axis] for axis in axes)
    weight: Any = None
    if call.op in ("ReduceMean", "GlobalAveragePool"):
        weight, word = 1 / max(count, 1), "pool:mean"
    else:
        word = {"ReduceSum": "sum", "GlobalMaxPool": "pool:max"}.get(call.op, "reduce")
        made = call.out().astype(np.float64)
        made = made.reshape([1 if axis in axes else size for axis, size in enumerate(shadow.shape)])
        weight = _REDUCED.get(call.op, _one_of)(call.array(0), made)
        if call.op in ("ReduceMax", "ReduceMin", "GlobalMaxPool"):
            weight = weight / np.maximum(weight.sum(axis=tuple(axes), keepdims=True), 1)
    found = reduced(call.flow, shadow, axes, weight if call.numbers else None, (word,))
    call.put(found.shaped(*call.out_shape))


def _along(call: Call) -> None:
    """Each element is made of all along an axis, as of a softmax."""
    shadow = _first(call)
    if shadow is None:
        return
    rank = len(shadow.shape)
    usual = -1 if call.op in ("TopK",) or opset(call) >= 13 else 1
    axis = call.said.get("axis", 1 if call.op == "LRN" else usual) % rank
    flat = call.op in ("Softmax", "LogSoftmax", "Hardmax") and opset(call) < 13
    axes = list(range(axis, rank)) if flat else [axis]
    word = "softmax" if "Softmax" in call.op else call.op.lower()
    found = along(call.flow, shadow, axes, (word,))
    if call.op == "Softmax":
        call.tracer.patterns.add(call.node.output[0])
    shape = call.out_shape
    call.put(found.each(lambda plane: plane[tuple(slice(0, size) for size in shape)]))


def _running_sum(call: Call) -> None:
    """Each element sums those before it; of one neuron's elements the way stays direct."""
    shadow = _first(call)
    if shadow is None:
        return
    axis = int(call.value(1).ravel()[0]) % len(shadow.shape)
    lines = np.moveaxis(shadow.codes, axis + 1, -1)
    if shadow.mixed is not None or not (lines == lines[..., :1]).all():
        call.put(along(call.flow, shadow, [axis], ("cumsum",)))
        return
    gains = None if shadow.gains is None else np.stack([call.alone(given(call, plane)) for plane in shadow.gains])
    call.put(retagged(call.flow, Shadow(shadow.codes, gains), ("cumsum",)))


def _lp_norm(call: Call) -> None:
    """x over its norm along an axis."""
    shadow = _first(call)
    if shadow is None:
        return
    axis, p = call.said.get("axis", -1) % len(shadow.shape), call.said.get("p", 2)
    slope = None
    if call.numbers:
        x = call.array(0)
        size = np.abs(x).sum(axis=axis, keepdims=True) if p == 1 else np.sqrt((x**2).sum(axis=axis, keepdims=True))
        slope = np.broadcast_to(1 / size, x.shape)
    call.put(normed(call.flow, shadow, [axis], slope, ("lp_norm",)))


class _Windows:
    """The windows of a pool: where they lie follows from what the node states and from the size of its result."""

    def __init__(self, call: Call) -> None:
        self.kernel: list[int] = call.said["kernel_shape"]
        rank = len(self.kernel)
        self.steps = call.said.get("strides", [1] * rank)
        self.apart = call.said.get("dilations", [1] * rank)
        self.sizes, self.outs = call.shape(0)[2:], call.out_shape[2:]
        self.reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.apart, strict=True)]
        self.counted = bool(call.said.get("count_include_pad", 0))
        auto = call.said.get("auto_pad", "NOTSET")
        self.pads: list[tuple[int, int]] = []
        given = call.said.get("pads", [0] * 2 * rank)
        for at in range(rank):
            whole = (self.outs[at] - 1) * self.steps[at] + self.reach[at]
            short = max(whole - self.sizes[at], 0)
            if auto in ("SAME_UPPER", "SAME_LOWER"):
                before = short // 2 if auto == "SAME_UPPER" else short - short // 2
                self.pads.append((before, short - before))
            else:
                self.pads.append((0, 0) if auto == "VALID" else (given[at], given[at + rank]))

    def of(self, plane: Any, fill: float, margin: float | None = None) -> Any:
        """(batch, channel, *out, *kernel). The margin that the node states may be filled apart from what is beyond."""
        wide = np.pad(plane, [(0, 0), (0, 0), *self.pads], constant_values=fill if margin is None else margin)
        whole = [(n - 1) * s + r for n, s, r in zip(self.outs, self.steps, self.reach, strict=True)]
        beyond = [max(want - have, 0) for want, have in zip(whole, wide.shape[2:], strict=True)]
        wide = np.pad(wide, [(0, 0), (0, 0), *((0, more) for more in beyond)], constant_values=fill)
        axes = tuple(range(2, 2 + len(whole)))
        windows = np.lib.stride_tricks.sliding_window_view(wide, self.reach, axes)
        starts = tuple(slice(0, (n - 1) * s + 1, s) for n, s in zip(self.outs, self.steps, strict=True))
        return windows[(slice(None), slice(None), *starts, *(slice(None, None, d) for d in self.apart))]

    @property
    def inner(self) -> tuple[int, ...]:
        return tuple(range(-len(self.kernel), 0))

    def highest(self, plane: Any) -> Any:
        return self.of(plane, -np.inf).max(axis=self.inner)

    def mean(self, plane: Any) -> Any:
        whole = self.of(np.ones((1, 1, *self.sizes)), 0.0, 1.0 if self.counted else 0.0).sum(axis=self.inner)
        return self.of(plane, 0.0).sum(axis=self.inner) / np.maximum(whole, 1)


def _pooled(call: Call) -> None:
    shadow = _first(call)
    if shadow is None:
        return
    if call.op == "LpPool" or call.gives(1):
        lost(call)
        return
    windows = _Windows(call)
    gain: Any = None
    if call.numbers:
        gain = windows.mean if call.op == "AveragePool" else _at_highest(windows, call.array(0))
    word = "pool:mean" if call.op == "AveragePool" else "pool:max"
    call.put(pooled(call.flow, shadow, windows.highest, gain, (word,)))


def _at_highest(windows: _Windows, x: Any) -> Callable[[Any], Any]:
    """What stands where the greatest number of each window is."""
    flat = windows.of(x, -np.inf)
    lead = flat.shape[: -len(windows.kernel)]
    where = flat.reshape(*lead, -1).argmax(axis=-1)[..., None]

    def gain(plane: Any) -> Any:
        return np.take_along_axis(windows.of(plane, 0.0).reshape(*lead, -1), where, -1)[..., 0]

    return gain


_ALONG = ("Softmax", "LogSoftmax", "Hardmax", "LRN", "TopK")
NORMS: dict[tuple[str, str], Rule] = {
    ("", "BatchNormalization"): _batch_norm,
    ("", "InstanceNormalization"): _instance_norm,
    ("", "GroupNormalization"): _group_norm,
    ("", "LayerNormalization"): _layer_norm("layer_norm"),
    **{(d, "SimplifiedLayerNormalization"): _layer_norm("rms_norm") for d in ("", "com.microsoft")},
    ("", "RMSNormalization"): _layer_norm("rms_norm"),
    ("com.microsoft", "SkipLayerNormalization"): _layer_norm("layer_norm", 2, skip=True),
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): _layer_norm("rms_norm", 2, skip=True),
    **{("", op): _reduced for op in ("ReduceMean", "GlobalAveragePool", "GlobalMaxPool", *_REDUCED)},
    **{("", op): _along for op in _ALONG},
    ("", "CumSum"): _running_sum,
    ("", "LpNormalization"): _lp_norm,
    **{("", op): _pooled for op in ("MaxPool", "AveragePool", "LpPool")},
}

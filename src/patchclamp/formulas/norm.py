"""Normalisations: (x - mean) / sqrt(var + eps) * w + b, each with its own axes; and PReLU.

Formulas as in the documentation of torch.nn.BatchNorm2d, InstanceNorm2d, GroupNorm, LayerNorm, RMSNorm and PReLU.
"""

from __future__ import annotations

import numpy as np

from .case import Answer, Case, Floats

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "prelu", "rms_norm"]


def batch_norm(case: Case) -> Answer:
    """Statistics of the batch in training or where none are tracked, else the running ones."""
    x = np.asarray(case.x, dtype=np.float64)
    if case.config["training"] or "running_mean" not in case.arrays:
        axes = (0, *range(2, x.ndim))
        return _affine(case, x, _statistics(x, axes))
    return _running(case, x)


def instance_norm(case: Case) -> Answer:
    """Statistics of each channel of each example; in evaluation the running ones where they are tracked."""
    x = np.asarray(case.x, dtype=np.float64)
    if "running_mean" in case.arrays and not case.config["training"]:
        return _running(case, x)
    axes = tuple(range(x.ndim - len(case.extents), x.ndim))
    return _affine(case, x, _statistics(x, axes))


def group_norm(case: Case) -> Answer:
    """Statistics of each group of channels of each example."""
    x = np.asarray(case.x, dtype=np.float64)
    groups = case.config["groups"]
    split = x.reshape(x.shape[0], groups, -1)
    mean, var, count = _statistics(split, (2,))
    per = x.shape[1] // groups
    wide = [np.repeat(part[:, :, 0], per, axis=1).reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) for part in (mean, var)]
    return _affine(case, x, (wide[0], wide[1], count))


def layer_norm(case: Case) -> Answer:
    """Statistics over the normalised tail of the shape."""
    x = np.asarray(case.x, dtype=np.float64)
    return _affine(case, x, _statistics(x, _tail(case, x)))


def rms_norm(case: Case) -> Answer:
    """Root mean square over the tail, no mean taken off; without an eps, the machine epsilon of the input's type."""
    x = np.asarray(case.x, dtype=np.float64)
    axes = _tail(case, x)
    square = np.mean(x * x, axis=axes, keepdims=True)
    return _affine(case, x, (np.zeros_like(square), square, int(np.prod([x.shape[axis] for axis in axes]))))


def prelu(case: Case) -> Answer:
    """max(0, x) + w min(0, x)."""
    x = case.pick(np.asarray(case.x, dtype=np.float64))
    slope = _spread(case.arrays["weight"], x)
    values = np.where(x >= 0, x, slope * x)
    return Answer(values, 2 * case.roundoff * abs(values))


def _tail(case: Case, x: Floats) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(case.config["tail"]), x.ndim))


def _statistics(x: Floats, axes: tuple[int, ...]) -> tuple[Floats, Floats, int]:
    """Mean, biased variance, and over how many numbers."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True), count


def _running(case: Case, x: Floats) -> Answer:
    picked = case.pick(x)
    mean, var = (_spread(case.arrays[name], picked) for name in ("running_mean", "running_var"))
    return _scaled(case, picked, mean, var, 1)


def _affine(case: Case, x: Floats, statistics: tuple[Floats, Floats, int]) -> Answer:
    mean, var, count = statistics
    mean, var = (case.pick(np.broadcast_to(part, x.shape)) for part in (mean, var))
    return _scaled(case, case.pick(x), mean, var, count)


def _scaled(case: Case, x: Floats, mean: Floats, var: Floats, count: int) -> Answer:
    """The error is that of x a + (b - mean a) with a = w / sd, and of the statistics over `count` numbers."""
    eps = case.config["eps"]
    eps = 2 * case.roundoff if eps is None else eps
    weight = _spread(case.arrays.get("weight", np.ones(len(case.coords))), x)
    bias = _spread(case.bias(), x)
    scale = weight / np.sqrt(var + eps)
    values = (x - mean) * scale + bias
    size = abs(x * scale) + 2 * abs(mean * scale) + abs(bias) + abs(values)
    spread = np.sqrt(var) * abs(scale)
    return Answer(values, case.roundoff * (3 * size + np.sqrt(count) * (abs(values) + spread)))


def _spread(values: Floats, like: Floats) -> Floats:
    return values.reshape(-1, *(1,) * (like.ndim - 1))

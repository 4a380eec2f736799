"""Normalisations: (x - mean) / sqrt(var + eps) * w + b, each with its own axes; and PReLU.

Formulas as in the documentation of torch.nn.BatchNorm2d, InstanceNorm2d, GroupNorm, LayerNorm, RMSNorm and PReLU.
"""

from __future__ import annotations

import numpy as np

from .case import Answer, Case, Floats, spread

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "prelu", "rms_norm"]


def batch_norm(case: Case) -> Answer:
    """Statistics of the batch in training or where none are tracked, else the running ones."""
    x = case.floats()
    if case.config["training"] or "running_mean" not in case.arrays:
        axes = (0, *range(2, x.ndim))
        return _stored(case, x, _statistics(x, axes))
    return _running(case, x)


def instance_norm(case: Case) -> Answer:
    """Statistics of each channel of each example; in evaluation the running ones where they are tracked."""
    x = case.floats()
    if "running_mean" in case.arrays and not case.config["training"]:
        return _running(case, x)
    axes = tuple(range(x.ndim - len(case.extents), x.ndim))
    return _stored(case, x, _statistics(x, axes))


def group_norm(case: Case) -> Answer:
    """Statistics of each group of channels of each example."""
    x = case.floats()
    groups = case.config["groups"]
    split = x.reshape(x.shape[0], groups, -1)
    mean, var, count = _statistics(split, (2,))
    per = x.shape[1] // groups
    wide = [np.repeat(part[:, :, 0], per, axis=1).reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) for part in (mean, var)]
    return _normal(case, x, (wide[0], wide[1], count))


def layer_norm(case: Case) -> Answer:
    """Statistics over the normalised tail of the shape."""
    x = case.floats()
    return _normal(case, x, _statistics(x, _tail(case, x)))


def rms_norm(case: Case) -> Answer:
    """Root mean square over the tail, no mean taken off; without an eps, that of the type it is computed in."""
    x = case.floats()
    axes = _tail(case, x)
    square = np.asarray(np.mean(x * x, axis=axes, keepdims=True), dtype=np.float64)
    answer = _normal(case, x, (np.zeros_like(square), square, int(np.prod([x.shape[axis] for axis in axes]))))
    # Before the scale is applied the quotient is rounded to the type of the result.
    return Answer(answer.values, answer.error, case.precision.result * abs(answer.values))


def prelu(case: Case) -> Answer:
    """max(0, x) + w min(0, x): one product, rounded once."""
    x = case.pick(case.floats())
    values = np.where(x >= 0, x, spread(case.arrays["weight"], x) * x)
    return Answer(values, np.zeros_like(values), case.precision.result * np.where(x >= 0, 0.0, abs(values)))


def _tail(case: Case, x: Floats) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(case.config["tail"]), x.ndim))


_Statistics = tuple[Floats, Floats, int]


def _statistics(x: Floats, axes: tuple[int, ...]) -> _Statistics:
    """Mean, biased variance, and over how many numbers."""
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True), count


def _running(case: Case, x: Floats) -> Answer:
    picked = case.pick(x)
    mean, var = (spread(case.arrays[name], picked) for name in ("running_mean", "running_var"))
    return _scaled(case, picked, (mean, var, 1))


def _normal(case: Case, x: Floats, statistics: _Statistics) -> Answer:
    mean, var, count = statistics
    mean, var = (case.pick(np.broadcast_to(part, x.shape)) for part in (mean, var))
    return _scaled(case, case.pick(x), (mean, var, count))


def _stored(case: Case, x: Floats, statistics: _Statistics) -> Answer:
    """As `_normal`, where mean, 1 / sd and the shift are rounded to the type of the result before they are used."""
    answer = _normal(case, x, statistics)
    mean, var = (case.pick(np.broadcast_to(part, x.shape)) for part in statistics[:2])
    slope = spread(case.arrays.get("weight", np.ones(len(case.coords))), mean) / np.sqrt(var + case.config["eps"])
    moved = abs(slope) * (abs(case.pick(x)) + 3 * abs(mean)) + abs(spread(case.bias(), mean))
    return Answer(answer.values, answer.error, case.precision.result * moved)


def _scaled(case: Case, x: Floats, statistics: _Statistics) -> Answer:
    """The error is that of x a + (b - mean a) with a = w / sd, and of the statistics over `count` numbers."""
    mean, var, count = statistics
    eps = case.config["eps"]
    eps = 2 * case.precision.sum if eps is None else eps
    scale = spread(case.arrays.get("weight", np.ones(len(case.coords))), x) / np.sqrt(var + eps)
    bias = spread(case.bias(), x)
    values = (x - mean) * scale + bias
    size = abs(x * scale) + abs(mean * scale) + abs(bias)
    moved = float(np.sqrt(count)) * (abs(values - bias) + np.sqrt(var) * abs(scale)) if count > 1 else 0.0
    return Answer(values, case.precision.sum * (size + moved))

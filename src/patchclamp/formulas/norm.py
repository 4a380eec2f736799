"""Normalisations: (x - mean) / sqrt(var + eps) * w + b, each with its own axes; and PReLU.

Formulas as in the documentation of torch.nn.BatchNorm2d, InstanceNorm2d, GroupNorm, LayerNorm, RMSNorm and PReLU.
Rows say by facts (the same for every layer of a class) or config (attributes of the layer) what theirs does otherwise:

    scale, shift   the words of w and b, where they are not `weight` and `bias`
    offset         what is added to w: Gemma stores w - 1
    over           the statistic is over so many last axes
    format         "channels_first": over axis 1
    size, parts    the statistic is over each run of `size` features, or over each of `parts` equal ones
    late           a gate multiplies the result (True) or what enters (False), through the curve `activation`
    first          w multiplies what enters: norm(w x)
    spread         "unbiased": the variance of n - 1 stands for the mean square
    frozen         the running statistics hold in training too
    mask           the argument that says which positions count
    after          the curve through which the result goes
    single         it is computed in float32, also for numbers that are more exact
    steps          how many results on the way are rounded to the type of the output
    fast           the variance is mean(x^2) - mean(x)^2, which loses digits where the mean is far from zero
    entering       the type ("float16", "bfloat16") to which what enters and the arrays are rounded first
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import KindError
from .case import Answer, Case, Floats, spread
from .curve import curve

__all__ = ["batch_norm", "computed", "group_norm", "instance_norm", "layer_norm", "prelu", "rms_norm", "shift", "slope"]


def batch_norm(case: Case) -> Answer:
    """Statistics of the batch in training or where none are tracked, else the running ones."""
    case = _narrowed(case)
    x = case.floats()
    if case.config.get("frozen"):
        return _folded(case, x)
    batch = _stated(case, "training") and case.config.get("trainable", True)
    if batch or "running_mean" not in case.arrays:
        axes = (0, *range(2, x.ndim))
        return _stored(case, x, _statistics(x, axes))
    return _running(case, x)


def _folded(case: Case, x: Floats) -> Answer:
    """The running statistics, made into one slope and one shift; each product and sum on the way is rounded."""
    answer, seen = _running(case, x), case.pick(x)
    mean, var = (spread(case.arrays[name], seen) for name in ("running_mean", "running_var"))
    scale, bias = spread(slope(case), seen) / np.sqrt(var + _stated(case, "eps")), spread(shift(case), seen)
    moved = 4 * abs(scale) * (abs(seen) + abs(mean)) + abs(bias - mean * scale)
    return Answer(answer.values, answer.error, case.precision.result * moved)


def instance_norm(case: Case) -> Answer:
    """Statistics of each channel of each example; in evaluation the running ones where they are tracked."""
    case = _narrowed(case)
    x = case.floats()
    if "running_mean" in case.arrays and not _stated(case, "training"):
        return _running(case, x)
    axes = tuple(range(x.ndim - len(case.extents), x.ndim))
    return _stored(case, x, _statistics(x, axes))


def group_norm(case: Case) -> Answer:
    """Statistics of each group of channels of each example, perhaps of the positions of a mask alone."""
    case = _narrowed(case)
    x, groups = case.floats(), case.config["groups"]
    mask = case.inputs.get(case.config.get("mask", ""))
    if mask is not None:
        return _masked(case, x, groups, np.broadcast_to(np.asarray(mask, dtype=np.float64), x.shape))
    split = x.reshape(x.shape[0], groups, -1)
    mean, var, count = _statistics(split, (2,))
    return _after(case, _normal(case, x, (_per_group(mean, x), _per_group(var, x), count)))


def _per_group(part: Floats, x: Floats) -> Floats:
    """(batch, group, 1) for each channel: (batch, channel, 1, ...)."""
    per = x.shape[1] // part.shape[1]
    return np.repeat(part[:, :, 0], per, axis=1).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


def _masked(case: Case, x: Floats, groups: int, mask: Floats) -> Answer:
    """The mean and the variance of the places that a mask keeps, step by step; the others become zero."""
    split, kept = (part.reshape(x.shape[0], groups, -1) for part in (x, mask))
    count = kept.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):  # of nothing there is no mean
        mean = (split * kept).sum(axis=2, keepdims=True) / count
        var = ((split - mean) ** 2 * kept).sum(axis=2, keepdims=True) / count
    wide = (_per_group(mean, x), _per_group(var, x), split.shape[2])
    stepwise = replace(case, config={**case.config, "steps": 6})
    answer, chosen = _rounded(stepwise, x, wide), case.pick(mask)
    return Answer(answer.values * chosen, answer.error, answer.bound)


def _after(case: Case, answer: Answer) -> Answer:
    """Through the curve that ends the layer, where it has one."""
    word = case.config.get("after")
    if word is None:
        return answer
    bent = curve(word, answer.values)
    return Answer(bent.values, answer.error * bent.slope + case.precision.sum * bent.error, answer.bound * bent.slope)


def layer_norm(case: Case) -> Answer:
    """Statistics over the normalised tail of the shape, or over the channels."""
    case = _narrowed(computed(case))
    x = case.floats()
    merged = case.config.get("merge")  # heads are normalised one by one and then laid side by side
    mean, var, count = _statistics(x, (x.ndim - 1,) if merged else _tail(case, x))
    if merged:
        x, mean, var = (np.broadcast_to(part, x.shape).reshape(*x.shape[:-2], -1) for part in (x, mean, var))
    return _rounded(case, x, (mean, var, count))


def _rounded(case: Case, x: Floats, statistics: _Statistics) -> Answer:
    """As `_normal`, where some results on the way are rounded to the type of the output."""
    answer, steps = _normal(case, x, statistics), case.config.get("steps", 0)
    moved = steps * abs(answer.values - spread(shift(case), answer.values))
    if steps > MANY:  # the mean is rounded too
        mean, var = (case.pick(np.broadcast_to(part, x.shape)) for part in statistics[:2])
        moved = moved + abs(spread(slope(case), mean) * mean) / np.sqrt(var + _stated(case, "eps"))
    return Answer(answer.values, answer.error, case.precision.result * moved)


MANY = 3
"""With more roundings than this a norm is computed step by step in the type of its output."""
SINGLE = 2.0**-24
"""The unit roundoff of float32."""


def computed(case: Case) -> Case:
    """The case as it is computed: in float32, where the layer goes over to it."""
    if not case.config.get("single") or case.precision.sum >= SINGLE:
        return case
    return replace(case, precision=replace(case.precision, sum=SINGLE, result=SINGLE))


def rms_norm(case: Case) -> Answer:
    """Root mean square over the tail, no mean taken off; without an eps, that of the type it is computed in."""
    case = _narrowed(computed(case))
    x, gate = case.floats(), _gate(case)
    early = gate is not None and not case.config.get("late")
    if early and gate is not None:
        x = x * gate
    if case.config.get("first"):
        x = x * (case.whole("weight") + case.config.get("offset", 0.0))
    square, count = _square(case, x)
    answer = _normal(case, x, (np.zeros_like(square), square, count))
    # Before the scale is applied the quotient is rounded to the type of the result; so is a product with a gate.
    values, error, steps = answer.values, answer.error, case.config.get("steps", 1)
    if gate is not None:
        picked = case.pick(np.broadcast_to(gate, x.shape))
        values, error = (values, error) if early else (values * picked, error * abs(picked))
        # The curve of the gate is off by some roundings, and each of the summed squares with it.
        error, steps = error + GATED * case.precision.sum * abs(values), 3
    bias = spread(shift(case), values)
    return Answer(values, error, case.precision.result * (steps + bool(bias.any())) * abs(values - bias))


GATED = 4.0
"""How many roundings of its type a gate's curve is taken to be off by: an exponential, a sum, a quotient, a product."""


def _gate(case: Case) -> Floats | None:
    """What multiplies the values: silu(gate), or another curve; None where the call has no gate."""
    given = case.inputs.get("gate")
    if given is None or "late" not in case.config:
        return None
    return curve(case.config.get("activation", "silu"), np.asarray(given, dtype=np.float64)).values


def _square(case: Case, x: Floats) -> tuple[Floats, int]:
    """What stands for the mean square of each number of x, and over how many numbers it is."""
    size = case.config.get("size") or x.shape[-1] // case.config.get("parts", 1)
    axes = _tail(case, x)
    if size != x.shape[-1]:
        split = x.reshape(*x.shape[:-1], -1, size)
        square = np.mean(split * split, axis=-1, keepdims=True)
        return np.broadcast_to(square, split.shape).reshape(x.shape), size
    count = int(np.prod([x.shape[axis] for axis in axes]))
    if case.config.get("spread") == "unbiased":
        return np.asarray(x.var(axis=axes, ddof=1, keepdims=True)), count
    return np.asarray(np.mean(x * x, axis=axes, keepdims=True), dtype=np.float64), count


def prelu(case: Case) -> Answer:
    """max(0, x) + w min(0, x): one product, rounded once."""
    x = case.pick(case.floats())
    values = np.where(x >= 0, x, spread(case.arrays["weight"], x) * x)
    return Answer(values, np.zeros_like(values), case.precision.result * np.where(x >= 0, 0.0, abs(values)))


def slope(case: Case) -> Floats:
    """The scale of each neuron: the stored weight and what the layer adds to it; one where the layer has none."""
    word = case.config.get("scale", "weight")
    if word not in case.arrays or case.config.get("first"):
        return np.ones(len(case.coords))
    return case.arrays[word].reshape(len(case.coords)) + float(case.config.get("offset", 0.0))


def shift(case: Case) -> Floats:
    """What is added to each neuron; zero where the layer has nothing."""
    word = case.config.get("shift", "bias")
    if word not in case.arrays:
        return np.zeros(len(case.coords))
    return case.arrays[word].reshape(len(case.coords))


def _tail(case: Case, x: Floats) -> tuple[int, ...]:
    if case.config.get("format") == "channels_first":
        return (1,)
    return tuple(range(x.ndim - (case.config.get("over") or len(case.config["tail"]) or 1), x.ndim))


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
    scale = spread(slope(case), mean) / np.sqrt(var + _stated(case, "eps"))
    moved = abs(scale) * (abs(case.pick(x)) + 3 * abs(mean)) + abs(spread(shift(case), mean))
    return Answer(answer.values, answer.error, case.precision.result * moved)


def _scaled(case: Case, x: Floats, statistics: _Statistics) -> Answer:
    """The error is that of x a + (b - mean a) with a = w / sd, and of the statistics over `count` numbers."""
    mean, var, count = statistics
    eps = _stated(case, "eps")
    eps = 2 * case.precision.sum if eps is None else eps
    scale = spread(slope(case), x) / np.sqrt(var + eps)
    bias = spread(shift(case), x)
    values = (x - mean) * scale + bias
    size = abs(x * scale) + abs(mean * scale) + abs(bias)
    moved = float(np.sqrt(count)) * (abs(values - bias) + np.sqrt(var) * abs(scale)) if count > 1 else 0.0
    error = case.precision.sum * (size + moved)
    if count > 1 and case.config.get("fast"):
        lost = _lost(case, (mean, var, count), eps)
        error = error * (1 + lost) + (1 + case.precision.result) * abs(values - bias) * lost / ALLOWED
    return Answer(values, error)


UNSURE = 6.0
"""So many standard deviations of a variance are taken to its bounds: the result does not follow it in a line."""
ALLOWED = 8.0
"""So many times an error is what a check allows."""


def _lost(case: Case, statistics: _Statistics, eps: float) -> Floats:
    """How much larger 1 / sd may be, relative to itself, where the variance is mean(x^2) - mean(x)^2.

    By measurements on CPUs the difference is off by at most sqrt(n) / 2 roundings of mean(x^2), and not under 2: a sum
    of positive numbers, one after the other. Small arrays are summed so; in larger ones it is less.
    """
    mean, var, count = statistics
    off = UNSURE * max(2.0, count**0.5 / 2) * case.precision.sum * (mean * mean + var)
    least = np.maximum(var - off, 0.0) + eps
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt((var + eps) / least) - 1, dtype=np.float64)


def _narrowed(case: Case) -> Case:
    """The case with what enters and the arrays rounded to the type that the layer takes them to."""
    name = case.config.get("entering")
    if not name:
        return case
    arrays = {word: _rounded_to(values, name) for word, values in case.arrays.items()}
    main = next(iter(case.inputs))
    return replace(case, arrays=arrays, inputs={**case.inputs, main: _rounded_to(case.floats(), name)})


def _rounded_to(values: Floats, name: str) -> Floats:
    with np.errstate(over="ignore"):
        if name == "float16":
            return values.astype(np.float16).astype(np.float64)
        single = values.astype(np.float32)
    bits = single.view(np.uint32)
    near = ((bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(single), near, single).astype(np.float64)


def _stated(case: Case, word: str) -> Any:
    """What the layer states. Raises KindError where it is known by its arrays alone, which do not say it."""
    if word not in case.config:
        raise KindError(
            f"the {word} of this layer is not known, so its output cannot be recomputed",
            "open the network so that its classes are known, in Flax patchclamp.open((module, variables, x))",
        )
    return case.config[word]

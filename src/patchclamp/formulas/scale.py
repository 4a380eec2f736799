"""Layers that weigh each channel by itself: scales, learned activations, responses, and statistics that run on."""

from __future__ import annotations

import numpy as np

from .case import Answer, Case, Floats, spread
from .norm import computed, shift, slope

__all__ = ["cumulative_norm", "response_norm", "scale", "snake", "standard_scale", "xielu"]


def scale(case: Case) -> Answer:
    """y = w x + b, with one w and b for each channel, or one of each for all."""
    x = case.pick(case.floats())
    product = spread(slope(case), x) * x
    values = product + spread(shift(case), x)
    return Answer(values, np.zeros_like(values), case.precision.result * abs(product))


def standard_scale(case: Case) -> Answer:
    """y = (x - mean) / max(sd, 1e-7), or with the word `invert` x max(sd, 1e-7) + mean, as keras.layers.Normalization.

    The statistics are stored, or stated by the layer for all features or for each.
    """
    x = case.pick(case.floats())
    mean, deviation = spread(_statistic(case, "mean"), x), np.sqrt(spread(_statistic(case, "variance"), x))
    factor = np.maximum(deviation, 1e-7)
    if case.config.get("invert"):
        product = x * factor
        return Answer(product + mean, np.zeros_like(x), case.precision.result * (2 * abs(product) + abs(mean)))
    values = (x - mean) / factor
    return Answer(values, np.zeros_like(x), case.precision.result * (abs(mean) / factor + 3 * abs(values)))


def _statistic(case: Case, word: str) -> Floats:
    """One number for each neuron."""
    if word in case.arrays:
        return case.arrays[word].reshape(len(case.coords))
    stated = np.asarray(case.config[word], dtype=np.float64)
    return np.array([stated[tuple(at.values())[len(at) - stated.ndim :]] for at in case.coords], dtype=np.float64)


def snake(case: Case) -> Answer:
    """y = x + sin^2(a x) / b, b = a unless it is learned too (Ziyin et al., Neural Networks Fail to Learn Periodic
    Functions, 2020; BigVGAN, 2023). With the fact `log` the logarithms of a and b are stored."""
    x = case.pick(case.floats())
    alpha = case.arrays["alpha"].reshape(len(case.coords))
    beta = case.arrays["beta"].reshape(len(case.coords)) if "beta" in case.arrays else alpha
    if case.config.get("log"):
        alpha, beta = np.exp(alpha), np.exp(beta)
    turned, over = spread(alpha, x) * x, spread(beta, x) + 1e-9
    wave = np.sin(turned) ** 2 / over
    # The argument of the sine is off by some of its own roundings: that moves sin^2 by sin(2 a x) as much, and more.
    off = (3 if case.config.get("log") else 1) * case.precision.result * abs(turned)
    bound = (off * abs(np.sin(2 * turned)) + off * off) / abs(over) + 8 * case.precision.result * abs(wave)
    return Answer(x + wave, case.precision.sum * abs(wave), bound)


def xielu(case: Case) -> Answer:
    """a x^2 + b x above zero, a' (exp(x) - 1 - x) + b x below, with a and a' through a softplus (Huang and Schlag,
    Deriving Activation Functions Using Integration, 2024)."""
    x = case.pick(case.floats())
    beta, eps = (spread(case.arrays[word].reshape(len(case.coords)), x) for word in ("beta", "eps"))
    above, below = (
        spread(np.logaddexp(0, case.arrays[word].reshape(len(case.coords))), x) for word in ("alpha_p", "alpha_n")
    )
    below, low = below + beta, np.minimum(x, eps)
    values = np.where(x > 0, above * x * x + beta * x, (np.expm1(low) - x) * below + beta * x)
    size = np.where(x > 0, above * x * x, (abs(np.expm1(low)) + abs(x)) * below) + abs(beta * x)
    return Answer(values, 4 * case.precision.sum * size, 2 * case.precision.result * size)


def response_norm(case: Case) -> Answer:
    """y = w x n + b + x, n the size of a channel over the map beside the mean over channels (Woo et al., ConvNeXt V2,
    2023, section 3)."""
    x = case.floats()
    size = np.sqrt((x * x).sum(axis=tuple(range(1, x.ndim - 1)), keepdims=True))
    share = np.broadcast_to(size / (size.mean(axis=-1, keepdims=True) + 1e-6), x.shape)
    seen, picked = case.pick(x), case.pick(share)
    product = spread(slope(case), seen) * seen * picked
    values = product + spread(shift(case), seen) + seen
    count = float(np.prod(x.shape[1:-1], dtype=np.float64))
    error = case.precision.sum * ((np.sqrt(count) + np.sqrt(x.shape[-1]) + 4) * abs(product) + abs(seen))
    return Answer(values, error, case.precision.result * (2 * abs(product) + abs(values - seen)))


def cumulative_norm(case: Case) -> Answer:
    """x (batch, step, *features, channel): each step by the statistics of all up to it. The mean of every step is its
    own, and the squares of each step are summed as they stand from the mean that it had."""
    case = computed(case)
    x = case.floats()
    axes = tuple(range(2, x.ndim))
    shape = (1, x.shape[1], *(1,) * len(axes))
    count = np.arange(1, x.shape[1] + 1, dtype=np.float64).reshape(shape) * np.prod(x.shape[2:])
    mean = np.cumsum(x.sum(axis=axes, keepdims=True), axis=1) / count
    moved = x - mean
    var = np.cumsum((moved * moved).sum(axis=axes, keepdims=True), axis=1) / count
    weight = slope(case)
    seen, centre, spreads = (case.pick(np.broadcast_to(part, x.shape)) for part in (x, mean, np.sqrt(var + _eps(case))))
    values = (seen - centre) / spreads * spread(weight, seen)
    size = (abs(seen) + 2 * abs(centre)) / spreads * abs(spread(weight, seen))
    gathered = np.sqrt(float(np.prod(x.shape[1:])))
    return Answer(values, case.precision.sum * (size + gathered * abs(values)), case.precision.result * abs(values))


def _eps(case: Case) -> Floats:
    return np.asarray(case.config["eps"], dtype=np.float64)

"""y = W x + b, and y = x1 W x2 + b."""

from __future__ import annotations

import numpy as np

from .case import Answer, Case, Floats, rounding, spread

__all__ = ["affine", "bilinear", "linear"]


def affine(case: Case, total: Floats, magnitude: Floats, count: int) -> Answer:
    """A sum of `count` products, plus the bias. The sum may be rounded before the bias comes to it."""
    bias = spread(case.bias(), total)
    error = rounding(case.precision, count + 1, abs(total) + abs(bias), magnitude + abs(bias))
    return Answer(total + bias, error, case.precision.result * abs(total))


def linear(case: Case) -> Answer:
    """torch.nn.Linear: values (neuron, *at)."""
    weight, x = case.arrays["weight"], case.floats()
    total = np.tensordot(weight, x, axes=(1, -1))
    return affine(case, total, np.tensordot(abs(weight), abs(x), axes=(1, -1)), weight.shape[1])


def bilinear(case: Case) -> Answer:
    """torch.nn.Bilinear: values (neuron, *at). Frameworks form x1 W first, and round it."""
    weight = case.arrays["weight"]
    x1, x2 = (np.asarray(x, dtype=np.float64) for x in list(case.inputs.values())[:2])
    total = np.einsum("nij,...i,...j->n...", weight, x1, x2)
    magnitude = np.einsum("nij,...i,...j->n...", abs(weight), abs(x1), abs(x2))
    answer = affine(case, total, magnitude, weight.shape[1] * weight.shape[2])
    return Answer(answer.values, answer.error, answer.bound + 2 * case.precision.result * magnitude)

"""y = W x + b, and y = x1 W x2 + b."""

from __future__ import annotations

import numpy as np

from .case import Answer, Case, rounding

__all__ = ["bilinear", "linear"]


def linear(case: Case) -> Answer:
    """torch.nn.Linear: values (neuron, *at)."""
    weight, bias = case.arrays["weight"], case.bias()
    x = np.asarray(case.x, dtype=np.float64)
    spread = (slice(None),) + (None,) * (x.ndim - 1)
    values = np.tensordot(weight, x, axes=(1, -1)) + bias[spread]
    magnitude = np.tensordot(abs(weight), abs(x), axes=(1, -1)) + abs(bias)[spread]
    return Answer(values, rounding(case.roundoff, weight.shape[1] + 1, magnitude))


def bilinear(case: Case) -> Answer:
    """torch.nn.Bilinear: values (neuron, *at)."""
    weight, bias = case.arrays["weight"], case.bias()
    x1, x2 = (np.asarray(x, dtype=np.float64) for x in list(case.inputs.values())[:2])
    spread = (slice(None),) + (None,) * (x1.ndim - 1)
    values = np.einsum("nij,...i,...j->n...", weight, x1, x2) + bias[spread]
    magnitude = np.einsum("nij,...i,...j->n...", abs(weight), abs(x1), abs(x2)) + abs(bias)[spread]
    return Answer(values, rounding(case.roundoff, weight.shape[1] * weight.shape[2] + 1, magnitude))

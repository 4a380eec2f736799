"""Nonlinearities by the names that layers give them: y, dy/dx, and how far off their own arithmetic may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import KindError, nearest
from .case import Floats

__all__ = ["Curve", "curve"]


@dataclass(frozen=True)
class Curve:
    """values y, slope |dy/dx|, and error: the size of the terms that y is rounded from."""

    values: Floats
    slope: Floats
    error: Floats


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _identity(x: Floats) -> Curve:
    return Curve(x, np.ones_like(x), np.zeros_like(x))


def _relu(x: Floats) -> Curve:
    return Curve(np.maximum(x, 0), np.ones_like(x), np.zeros_like(x))


def _logistic(x: Floats) -> Curve:
    y = _sigmoid(x)
    return Curve(y, y * (1 - y), 4 * y)


def _silu(x: Floats) -> Curve:
    y = _sigmoid(x)
    return Curve(x * y, abs(y * (1 + x * (1 - y))), 4 * abs(x * y))


_CURVES: dict[str, Callable[[Floats], Curve]] = {
    **dict.fromkeys(("identity", "Identity"), _identity),
    **dict.fromkeys(("relu", "ReLU"), _relu),
    **dict.fromkeys(("sigmoid", "Sigmoid"), _logistic),
    **dict.fromkeys(("silu", "swish", "SiLU", "SiLUActivation"), _silu),
}
"""By the word of a config, or the class of the module."""


def curve(name: str, x: Floats) -> Curve:
    """A nonlinearity at x. Raises KindError for one that is not known."""
    found = _CURVES.get(name)
    if found is None:
        raise KindError(
            f"the nonlinearity {name!r} is not known, so its output cannot be recomputed", nearest(name, _CURVES)
        )
    return found(x)

"""Nonlinearities by the names that layers give them: y, dy/dx, and how far off their own arithmetic may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import KindError, nearest
from .case import Floats

__all__ = ["AMBIGUOUS", "Curve", "curve", "known", "sampled"]


@dataclass(frozen=True)
class Curve:
    """values y, slope |dy/dx|, and error: the size of the terms that y is rounded from."""

    values: Floats
    slope: Floats
    error: Floats


def _sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x) without cancellation: a gate that is shut is small, not zero."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _softplus(x: Floats) -> Floats:
    return np.asarray(np.logaddexp(0.0, x))


def _identity(x: Floats) -> Curve:
    return Curve(x, np.ones_like(x), np.zeros_like(x))


def _relu(x: Floats) -> Curve:
    return Curve(np.maximum(x, 0), np.ones_like(x), np.zeros_like(x))


def _relu6(x: Floats) -> Curve:
    return Curve(np.clip(x, 0, 6), np.ones_like(x), np.zeros_like(x))


def _leaky_relu(x: Floats, alpha: float = 0.01) -> Curve:
    y = np.where(x >= 0, x, alpha * x)
    return Curve(y, np.full_like(x, max(1.0, abs(alpha))), np.abs(y))


def _keras_leaky_relu(x: Floats, alpha: float = 0.2) -> Curve:
    return _leaky_relu(x, alpha)


def _thresholded(x: Floats, alpha: float = 1.0) -> Curve:
    return Curve(np.where(x > alpha, x, 0.0), np.ones_like(x), np.zeros_like(x))


def _logistic(x: Floats) -> Curve:
    y = _sigmoid(x)
    return Curve(y, y * (1 - y), 4 * y)


def _tanh(x: Floats) -> Curve:
    y = np.asarray(np.tanh(x), dtype=np.float64)
    return Curve(y, 1 - y**2, np.asarray(4 * abs(y)))


def _scaled_tanh(x: Floats, alpha: float = 1.0, beta: float = 1.0) -> Curve:
    y = np.tanh(beta * x)
    return Curve(alpha * y, abs(alpha * beta) * (1 - y**2), abs(alpha) * (4 * abs(y) + 2 * abs(beta * x) * (1 - y**2)))


def _affine(x: Floats, alpha: float = 1.0, beta: float = 0.0) -> Curve:
    y = alpha * x + beta
    return Curve(y, np.full_like(x, abs(alpha)), 2 * (abs(alpha * x) + abs(y)))


def _hard_sigmoid(x: Floats, alpha: float = 0.2, beta: float = 0.5) -> Curve:
    y = np.clip(alpha * x + beta, 0.0, 1.0)
    return Curve(y, np.full_like(x, abs(alpha)), 4 * (abs(alpha * x) + abs(beta)) * (y > 0) * (y < 1))


def _hard_sixth(x: Floats) -> Curve:
    """relu6(x + 3) / 6, as Keras 3, JAX and torch have it."""
    return _hard_sigmoid(x, 1 / 6, 0.5)


def _hard_tanh(x: Floats) -> Curve:
    return Curve(np.clip(x, -1, 1), np.ones_like(x), np.zeros_like(x))


def _silu(x: Floats) -> Curve:
    y = _sigmoid(x)
    return Curve(x * y, abs(y * (1 + x * (1 - y))), 4 * abs(x * y))


def _hard_silu(x: Floats) -> Curve:
    gate = _hard_sixth(x)
    return Curve(x * gate.values, abs(gate.values + x * gate.slope), abs(x) * gate.error + 4 * abs(x * gate.values))


def _elu(x: Floats, alpha: float = 1.0) -> Curve:
    low = np.expm1(np.minimum(x, 0))
    y = np.where(x > 0, x, alpha * low)
    return Curve(y, np.where(x > 0, 1.0, abs(alpha) * (1 + low)), np.where(x > 0, 0.0, 4 * abs(alpha)))


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu(x: Floats, alpha: float = _ALPHA, beta: float = _SCALE) -> Curve:
    found = _elu(x, alpha)
    values = beta * found.values
    return Curve(values, abs(beta) * found.slope, abs(beta) * found.error + 2 * abs(values))


def _celu(x: Floats, alpha: float = 1.0) -> Curve:
    found = _elu(x / alpha)
    return Curve(alpha * found.values, found.slope, abs(alpha) * (found.error + 4 * abs(found.values)))


def _soft(x: Floats) -> Curve:
    y = _softplus(x)
    return Curve(y, _sigmoid(x), 4 * (y + np.maximum(x, 0)) + 4 * np.exp(-abs(x)))


def _log_sigmoid(x: Floats) -> Curve:
    found = _soft(-x)
    return Curve(-found.values, found.slope, found.error)


def _softsign(x: Floats) -> Curve:
    y = x / (1 + abs(x))
    return Curve(y, 1 / (1 + abs(x)) ** 2, 4 * abs(y))


def _exponential(x: Floats) -> Curve:
    y = np.exp(x)
    return Curve(y, y, 4 * y * (1 + abs(x)))


def _mish(x: Floats) -> Curve:
    bent = np.tanh(_softplus(x))
    slope = bent + x * (1 - bent**2) * _sigmoid(x)
    return Curve(x * bent, abs(slope), 8 * abs(x * bent) + 4 * abs(x) * (1 - bent**2) * _soft(x).error)


def _tanh_shrink(x: Floats) -> Curve:
    return Curve(x - np.tanh(x), np.tanh(x) ** 2, 4 * abs(x))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(x: Floats) -> Curve:
    share = 0.5 * (1 + _erf(x / math.sqrt(2)))
    slope = share + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return Curve(x * share, abs(slope), 4 * abs(x))


def _gelu_tanh(x: Floats) -> Curve:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    share = _sigmoid(2 * inner)
    slope = share + 2 * x * share * (1 - share) * math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)
    return Curve(x * share, abs(slope), 4 * abs(x))


_CURVES: dict[str, Callable[..., Curve]] = {
    **dict.fromkeys(("identity", "Identity", "linear"), _identity),
    **dict.fromkeys(("relu", "ReLU", "Relu"), _relu),
    **dict.fromkeys(("relu6", "ReLU6"), _relu6),
    **dict.fromkeys(("sigmoid", "Sigmoid"), _logistic),
    **dict.fromkeys(("tanh", "Tanh"), _tanh),
    **dict.fromkeys(("silu", "swish", "SiLU", "SiLUActivation"), _silu),
    **dict.fromkeys(("hard_silu", "hard_swish", "Hardswish"), _hard_silu),
    **dict.fromkeys(("hard_sigmoid", "Hardsigmoid"), _hard_sixth),
    **dict.fromkeys(("hard_tanh", "Hardtanh"), _hard_tanh),
    **dict.fromkeys(("elu", "ELU", "Elu"), _elu),
    **dict.fromkeys(("selu", "SELU", "Selu"), _selu),
    **dict.fromkeys(("celu", "CELU", "Celu"), _celu),
    **dict.fromkeys(("softplus", "Softplus"), _soft),
    **dict.fromkeys(("softsign", "soft_sign", "Softsign"), _softsign),
    **dict.fromkeys(("log_sigmoid", "LogSigmoid"), _log_sigmoid),
    **dict.fromkeys(("exponential", "exp"), _exponential),
    **dict.fromkeys(("mish", "Mish"), _mish),
    "tanh_shrink": _tanh_shrink,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": _keras_leaky_relu,
    "LeakyRelu": _leaky_relu,
    "ThresholdedRelu": _thresholded,
    "HardSigmoid": _hard_sigmoid,
    "ScaledTanh": _scaled_tanh,
    "Affine": _affine,
}
"""By the word of a config, the name of the function, the class of the module, or ONNX's operator."""

AMBIGUOUS = {"gelu": ("gelu", "gelu_tanh"), "leaky_relu": ("leaky_relu", "LeakyRelu")}
"""Names that mean one thing in Keras (the exact gelu, a slope of 0.2) and another in JAX: what each may be."""


def known(name: str) -> bool:
    """Whether a nonlinearity of that name is known."""
    return name in _CURVES


def curve(name: str, x: Floats, *settings: float) -> Curve:
    """A nonlinearity at x, with its alpha and beta if they are not the usual ones.

    Raises KindError for one that is not known.
    """
    found = _CURVES.get(name)
    if found is None:
        raise KindError(
            f"the nonlinearity {name!r} is not known, so its output cannot be recomputed", nearest(name, _CURVES)
        )
    return found(x, *settings)


def sampled(function: Callable[[Floats], Floats], x: Floats) -> Curve:
    """A function that is known by what it gives only: its slope is measured on both sides of x.

    It is called once, with three times as many rows. Inside, it may add and take away terms of the size of one.
    """
    step = 1e-4 * np.maximum(1.0, abs(x))
    values, above, below = np.split(function(np.concatenate([x, x + step, x - step])), 3)
    slope = np.maximum(abs(above - values), abs(values - below)) / step
    return Curve(values, slope, 4 * (abs(values) + slope * abs(x) + np.minimum(abs(x), 8.0)))

"""Experts in packed arrays: each token goes through a few of them, and what they give is added by the router's weights.

A hidden neuron is f(W x + b) with f the layer's own gate (silu(gate) * up in most), an output is V h + c. Each value
carries the variance of the rounding error that the checked arithmetic may have gathered (errors taken as independent).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .case import Floats, Ints, Precision, rounding

__all__ = ["Curve", "Expert", "Sum", "Trace", "through"]

Curve = Callable[[Floats], Floats]
"""A function of the layer's own, on float64 numbers (token, row)."""


@dataclass(frozen=True)
class Expert:
    """One expert's weights: `up` (row, in) in the stored order of rows, `down` (out, neuron), biases or None.

    `halves` are the rows of each half (gate, up) in the order of the hidden neurons.
    """

    up: Floats
    up_bias: Floats | None
    down: Floats
    down_bias: Floats | None
    halves: Sequence[Ints]


@dataclass(frozen=True)
class Trace:
    """Some tokens in one expert: sums (token, row), hidden neurons (token, neuron), what it gives (token, out)."""

    tokens: Ints
    pre_activation: Floats
    hidden: Floats
    given: Floats
    variance: Floats


def through(expert: Expert, x: Floats, tokens: Ints, curves: tuple[Curve, Curve | None], precision: Precision) -> Trace:
    """Send some tokens of x (token, in) through an expert. `curves`: its gate, and a norm of what it gives if any."""
    gate, norm = curves
    step = precision.result / np.sqrt(3)
    pre, variance = _affine(expert.up, expert.up_bias, (x[tokens], np.zeros((len(tokens), x.shape[1]))), precision)
    spread = np.sqrt(variance)
    moves = [np.zeros_like(pre) for _ in expert.halves]
    for move, rows in zip(moves, expert.halves, strict=True):
        move[:, rows] = spread[:, rows]
    # The gate is the layer's own and called once: as it is, and with each half moved by its error.
    hidden, *others = np.split(gate(np.concatenate([pre, *(pre + move for move in moves)])), 1 + len(moves))
    moved = sum(((other - hidden) ** 2 for other in others), np.zeros_like(hidden))
    moved += (2 * step * abs(hidden)) ** 2
    given, variance = _affine(expert.down, expert.down_bias, (hidden, moved), precision)
    if norm is not None:
        normed = norm(given)
        scale = np.linalg.norm(normed, axis=1, keepdims=True) / np.maximum(
            np.linalg.norm(given, axis=1, keepdims=True), np.finfo(np.float64).tiny
        )
        variance = (2 * scale) ** 2 * variance + (3 * step * normed) ** 2
        given = normed
    return Trace(tokens, pre, hidden, given, variance)


def _affine(
    weight: Floats, bias: Floats | None, x: tuple[Floats, Floats], precision: Precision
) -> tuple[Floats, Floats]:
    """W x + b and its variance, for x with a variance: the sum of n products as in `case.rounding`."""
    value, variance = x
    step = precision.result / np.sqrt(3)
    total = value @ weight.T
    more = abs(bias) if bias is not None else 0.0
    size = abs(value) @ abs(weight).T + more
    gathered = rounding(precision, weight.shape[1] + 1, abs(total) + more, size)
    variance = variance @ (weight**2).T + gathered**2 + (step * total) ** 2
    if bias is not None:
        total = total + bias
        variance = variance + (step * total) ** 2
    return total, variance


class Sum:
    """What the experts give, added up token by token: (token, out)."""

    def __init__(self, tokens: int, width: int, precision: Precision) -> None:
        self.values = np.zeros((tokens, width))
        self.variance = np.zeros((tokens, width))
        self._size = np.zeros((tokens, width))
        self._parts = np.zeros((tokens, 1))
        self._step = precision.result / np.sqrt(3)

    def add(self, tokens: Ints, given: Floats, variance: Floats, share: Floats) -> None:
        part = share[:, None] * given
        np.add.at(self.values, tokens, part)
        np.add.at(self.variance, tokens, share[:, None] ** 2 * variance + 2 * (self._step * part) ** 2)
        np.add.at(self._size, tokens, abs(part))
        np.add.at(self._parts, tokens, 1.0)

    @property
    def error(self) -> Floats:
        """The standard deviation, with the rounding of each partial sum."""
        return np.asarray(np.sqrt(self.variance + self._parts * (self._step * self._size) ** 2), dtype=np.float64)

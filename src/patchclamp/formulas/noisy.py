"""Numbers that carry the variance of their rounding error, and arithmetic on them: what a recurrence gathers on the way.

Errors are taken as independent, so their squares add.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .case import Floats, Precision, rounding
from .curve import Curve
from .quantised import rounded

__all__ = ["Act", "Arithmetic", "Noisy"]

Act = Callable[[Floats], Curve]
"""A nonlinearity: what it gives, how steeply, and how roughly."""


@dataclass(frozen=True)
class Noisy:
    """A value and the variance of its rounding error."""

    value: Floats
    var: Floats

    @classmethod
    def exact(cls, value: Floats) -> Noisy:
        return cls(value, np.zeros_like(value))

    @property
    def error(self) -> Floats:
        """The standard deviation."""
        return np.asarray(np.sqrt(self.var), dtype=np.float64)

    def where(self, keep: NDArray[np.bool_], other: Noisy) -> Noisy:
        return Noisy(np.where(keep, self.value, other.value), np.where(keep, self.var, other.var))

    def __getitem__(self, gate: int) -> Noisy:
        return Noisy(self.value[:, gate], self.var[:, gate])


@dataclass(frozen=True)
class Arithmetic:
    """Operations on noisy values, each adding the rounding of its result."""

    precision: Precision

    @property
    def u(self) -> float:
        """The standard deviation of one rounding: errors spread evenly over -u to u have u / sqrt(3)."""
        return self.precision.result / float(np.sqrt(3))

    def affine(self, weight: Floats, bias: Floats, x: Noisy) -> Noisy:
        """W x + b for every gate: (batch, gate, unit); the sum of n products as in `case.rounding`."""
        value = np.einsum("gui,bi->bgu", weight, x.value)
        size = np.einsum("gui,bi->bgu", abs(weight), abs(x.value)) + abs(bias)
        gathered = rounding(self.precision, weight.shape[2] + 1, abs(value) + abs(bias), size)
        var = np.einsum("gui,bi->bgu", weight**2, x.var) + gathered**2 + (self.u * value) ** 2
        return Noisy(value + bias, var + (self.u * (value + bias)) ** 2)

    def entering(self, a: Noisy, counted: NDArray[np.bool_]) -> Noisy:
        """Rounded to 8 bits where the framework does so before a sum; `counted` are the numbers that it sees at once.

        A number in the middle between two codes may go either way, and the noise of the ends moves every code.
        """
        if not self.precision.steps:
            return a
        noise = 8 * float(np.sqrt(a.var[counted].max(initial=0.0)))
        found = rounded(a.value, self.precision.steps, counted, noise)
        return Noisy(found.values, found.doubt**2 + (noise / 8) ** 2)

    def add(self, a: Noisy, b: Noisy) -> Noisy:
        value = a.value + b.value
        return Noisy(value, a.var + b.var + (self.u * value) ** 2)

    def times(self, a: Noisy, b: Noisy) -> Noisy:
        value = a.value * b.value
        return Noisy(value, b.value**2 * a.var + a.value**2 * b.var + (self.u * value) ** 2)

    def rest(self, a: Noisy) -> Noisy:
        """1 - a."""
        return Noisy(1 - a.value, a.var + (self.u * (1 - a.value)) ** 2)

    def through(self, act: Act, a: Noisy) -> Noisy:
        """What is too small for a normal number may come out as zero."""
        found, exact = act(a.value), self.precision
        least = exact.least / exact.result if exact.result else 0.0
        own = (0.5 * self.u * found.error) ** 2 + exact.curve**2 + least**2
        return Noisy(found.values, found.slope**2 * a.var + own)

    def clipped(self, a: Noisy, most: float) -> Noisy:
        """Held between -most and most; 0: as it is."""
        return Noisy(np.clip(a.value, -most, most), a.var) if most else a

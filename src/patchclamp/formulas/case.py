"""What a formula is given and what it answers: float64 numbers, neurons first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Case", "Floats", "Ints", "Precision", "rounding", "spread"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Precision:
    """How exact the arithmetic is that is being checked, as unit roundoffs (half the distance from 1 to the next).

    result   of the type that leaves the layer
    sum      of the type that sums are gathered in; 16-bit floats are gathered in float32
    product  of what is multiplied, where that is rounded first (TF32, autocast), else 0
    least    the spacing of the smallest numbers of the type that leaves the layer (its subnormal ones)
    reason   in words
    steps    to how many steps what enters a weighted sum is rounded, from its smallest to its largest number; 0: none
    curve    how far a nonlinearity of a recurrent layer is off where it is an approximation: a standard deviation
    """

    result: float
    sum: float
    product: float = 0.0
    reason: str = ""
    least: float = 0.0
    steps: int = 0
    curve: float = 0.0


@dataclass(frozen=True)
class Case:
    """One run of one layer, for some of its neurons.

    arrays    word -> (neuron, *other axes of the line)
    inputs    argument name -> what entered, as recorded
    coords    the coordinate of each neuron on its axes
    config    the layer's config, with what was seen during the run
    extents   the size of the output map
    pick      takes an array of the output's shape to (neuron, *rest)
    whole     reads a whole stored array by its word, for a statistic over all neurons
    position  one place on the map of a convolution; empty for all of it
    shape     the shape of the output
    """

    arrays: Mapping[str, Floats]
    inputs: Mapping[str, Any]
    coords: Sequence[Mapping[str, int]]
    config: Mapping[str, Any]
    extents: tuple[int, ...]
    precision: Precision
    pick: Callable[[Floats], Floats]
    whole: Callable[[str], Floats]
    position: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def x(self) -> Any:
        """The main input."""
        return next(iter(self.inputs.values()))

    def floats(self) -> Floats:
        """The main input as float64."""
        return np.asarray(self.x, dtype=np.float64)

    def bias(self) -> Floats:
        """The bias of each neuron, zero where the layer has none."""
        bias = self.arrays.get("bias", np.zeros(len(self.coords)))
        return bias.reshape(len(bias)) if bias.size == len(bias) else bias


@dataclass(frozen=True)
class Answer:
    """Recomputed values (neuron, *rest) and what may separate the checked arithmetic from them.

    error  the scale (standard deviation) of rounding errors that add up at random; several times this is allowed
    bound  the most that single roundings of intermediate results can be off, beside the rounding of `values` itself
    reason what the tolerance allows for, where that is more than rounding
    """

    values: Floats
    error: Floats
    bound: Floats = field(default_factory=lambda: np.zeros(()))
    reason: str = ""


BLOCK = 16.0
"""Partial sums in an unlucky order are taken to reach one 16th of sum|w x|: kernels sum in blocks and lanes."""


def rounding(precision: Precision, count: int, total: Floats, magnitude: Floats) -> Floats:
    """The scale of the error of a sum of `count` products: sqrt(n) u (|sum w x| + c sum|w x|), c = max(n^-1/2, 1/16).

    The worst case is n u sum|w x| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). With
    rounding errors that are independent with mean zero sqrt(n) stands for n (Higham and Mary, A new approach to
    probabilistic rounding error analysis, SIAM J. Sci. Comput., 2019), and each addition errs by u times the partial
    sum that it makes. In a random order partial sums grow to the total plus a walk of length sum|w x| / sqrt(n).
    """
    reach = abs(total) + magnitude * max(count**-0.5, 1 / BLOCK)
    return np.asarray((precision.sum * count**0.5 + precision.product) * reach, dtype=np.float64)


def spread(values: Floats, like: Floats) -> Floats:
    """(neuron,) values shaped to meet (neuron, *rest)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))

"""What a formula is given and what it answers: float64 numbers, neurons first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "Case", "Floats", "rounding"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One run of one layer, for some of its neurons.

    arrays    word -> (neuron, *other axes of the line)
    inputs    argument name -> what entered, as recorded; the main input is `x`
    coords    the coordinate of each neuron on its axes
    config    the layer's config, with what was seen during the run
    extents   the size of the output map
    roundoff  the unit roundoff of the arithmetic that is being checked
    pick      takes an array of the output's shape to (neuron, *rest)
    """

    arrays: Mapping[str, Floats]
    inputs: Mapping[str, Any]
    coords: Sequence[Mapping[str, int]]
    config: Mapping[str, Any]
    extents: tuple[int, ...]
    roundoff: float
    pick: Callable[[Floats], Floats]
    position: tuple[int, ...] = ()

    @property
    def x(self) -> Any:
        return next(iter(self.inputs.values()))

    def bias(self) -> Floats:
        """The bias of each neuron, zero where the layer has none."""
        return self.arrays.get("bias", np.zeros(len(self.coords)))


@dataclass(frozen=True)
class Answer:
    """Recomputed values (neuron, *rest), and the scale of the rounding error that the checked arithmetic may show."""

    values: Floats
    error: Floats
    terms: Mapping[str, Floats] = field(default_factory=dict)


def rounding(roundoff: float, count: int, magnitude: Floats) -> Floats:
    """sqrt(n) u sum|w x|: the scale of the error of a sum of n products in floating point.

    The worst case is n u sum|w x| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). With
    rounding errors that are independent with mean zero it is sqrt(n) instead of n, times a constant that sets the
    probability (Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM J. Sci. Comput., 2019).
    """
    return roundoff * np.sqrt(count) * magnitude

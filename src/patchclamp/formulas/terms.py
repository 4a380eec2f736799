"""The products of one weighted sum, so that it can be written out: the weights and the inputs they meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..geometry import NOTHING, Geometry
from .case import Case, Floats
from .conv import kernels
from .linear import scaled

__all__ = ["TERMS"]


def _linear(case: Case, spot: tuple[int, ...]) -> tuple[Floats, Floats]:
    weight = scaled(case).arrays["weight"][spot[0]]
    read = weight.ndim if case.floats().shape[-weight.ndim :] == weight.shape else 1
    seen = case.floats()[(*spot[1 : case.floats().ndim - read + 1 - len(case.position)], *case.position)]
    return weight.reshape(-1), seen.reshape(-1)


def _conv(case: Case, spot: tuple[int, ...]) -> tuple[Floats, Floats]:
    """The patch (in, *k) that the filter reads at one place of one example."""
    weight = kernels(case)[spot[0]]
    rank = weight.ndim - 1
    x = case.floats()
    x = x if x.ndim == rank + 1 else x[spot[1]]
    at = case.position or spot[-rank:]
    group, fan = case.coords[spot[0]].get("group", 0), len(weight)
    x = x[group * fan : (group + 1) * fan]
    geometry = Geometry.of(case.config, weight.shape[1:])
    for axis, index in enumerate(at):
        taps = np.array(geometry.taps(axis, x.shape[axis + 1], index))
        x = np.take(x, np.maximum(taps, 0), axis=axis + 1)
        x[(slice(None),) * (axis + 1) + (taps == NOTHING,)] = 0.0
    return weight, x


TERMS: dict[str, Callable[[Case, tuple[int, ...]], tuple[Floats, Floats]]] = {"linear": _linear, "conv": _conv}

"""The recompute formulas, one small function a family: NumPy in float64, independent of any framework's arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from .case import Answer, Case, Floats, Precision, rounding
from .conv import conv, separable
from .integer import INTEGER
from .linear import bilinear, einsum, grouped_linear, linear
from .norm import batch_norm, group_norm, instance_norm, layer_norm, prelu, rms_norm
from .quantised import QUANTISED as _OF_TORCH
from .scale import cumulative_norm, response_norm, scale, snake, standard_scale, xielu
from .table import embedding, embedding_bag

__all__ = ["FORMULAS", "QUANTISED", "Answer", "Case", "Floats", "Formula", "Precision", "rounding"]

Formula = Callable[[Case], Answer]
QUANTISED: dict[str, Formula] = {**_OF_TORCH, **INTEGER}
"""Those of layers that round to codes."""

FORMULAS: dict[str, Formula] = {
    formula.__name__: formula
    for formula in (
        linear,
        bilinear,
        einsum,
        grouped_linear,
        conv,
        separable,
        embedding,
        embedding_bag,
        batch_norm,
        instance_norm,
        group_norm,
        layer_norm,
        rms_norm,
        prelu,
        scale,
        standard_scale,
        snake,
        xielu,
        response_norm,
        cumulative_norm,
    )
} | QUANTISED
"""Family -> formula. The family `recurrent` carries state over steps and stands in `formulas.recurrent`."""

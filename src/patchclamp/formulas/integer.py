"""Sums of 8-bit codes, as ONNX defines them: exact integers, or rounded once to the codes of the output.

QLinearConv, QLinearMatMul, ConvInteger and MatMulInteger: onnx.ai/onnx/operators; QGemm: ContribOperators.md of ONNX
Runtime. What enters and leaves are codes; steps and zero points come with them among the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .case import Answer, Case, Floats, spread
from .conv import conv
from .linear import linear

__all__ = ["INTEGER"]

Formula = Callable[[Case], Answer]

DECODED = 2.0**-22
"""How far, relative to the sizes of its terms, a sum of decoded numbers may be off: each is rounded twice."""
REASON = "codes: exact but for the rounding of the result, which may go either way in the middle between two codes"


def _rounded(formula: Formula) -> Formula:
    """The sum of decoded numbers, rounded to the codes of the output; float32 where no codes are asked for."""

    def found(case: Case) -> Answer:
        given = case.inputs
        step, zero = _number(given, "input_scale", 1.0), _number(given, "input_zero", 0.0)
        x = (case.floats() - zero) * step
        answer = formula(_with(case, x))
        sizes = {word: abs(values) for word, values in case.arrays.items()}
        off = DECODED * formula(replace(_with(case, abs(x)), arrays=sizes)).values
        if "output_scale" not in given:
            return Answer(answer.values, answer.error, off)
        codes = answer.values / _number(given, "output_scale", 1.0)
        near = abs(codes - np.floor(codes) - 0.5) <= off / _number(given, "output_scale", 1.0) + DECODED * abs(codes)
        kind = np.iinfo(np.asarray(given["output_zero"]).dtype) if "output_zero" in given else np.iinfo(np.uint8)
        values = np.clip(np.rint(codes) + _number(given, "output_zero", 0.0), kind.min, kind.max)
        return Answer(values, np.zeros_like(values), np.where(near, 1.0, 0.0), REASON)

    return found


def _exact(formula: Formula) -> Formula:
    """The sum of codes less their zero points: integers, which nothing rounds."""

    def found(case: Case) -> Answer:
        zeros = np.asarray(case.inputs.get("weight_zero", 0), dtype=np.float64).reshape(-1)
        weight = case.arrays["weight"]
        own = zeros if zeros.size == 1 else zeros[_numbers(case, zeros.size)]
        arrays = {**case.arrays, "weight": weight - spread(np.broadcast_to(own, len(weight)), weight)}
        zero = np.asarray(case.inputs.get("input_zero", 0), dtype=np.float64)
        values = formula(replace(_with(case, case.floats() - zero), arrays=arrays)).values
        return Answer(values, np.zeros_like(values))

    return found


def _numbers(case: Case, count: int) -> list[int]:
    """The neurons' numbers among all, from their group and their place in it."""
    each = count // max(int(case.config.get("groups", 1)), 1)
    return [coords.get("group", 0) * each + coords["neuron"] for coords in case.coords]


def _with(case: Case, x: Floats) -> Case:
    return replace(case, inputs={next(iter(case.inputs)): x})


def _number(given: Any, word: str, usual: float) -> float:
    return float(np.asarray(given[word]).reshape(-1)[0]) if word in given else usual


INTEGER: dict[str, Formula] = {
    "rounded_conv": _rounded(conv),
    "rounded_linear": _rounded(linear),
    "integer_conv": _exact(conv),
    "integer_linear": _exact(linear),
}
"""The formulas of `kinds.onnx` for codes, by name."""

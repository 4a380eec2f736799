"""Nodes that work element by element: their slopes, and the words of their paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...flow.rules import joined, pointwise
from ...flow.shadow import Shadow
from .trace_graph import Call, Rule, given
from .trace_values import NotFollowed, central, erf

__all__ = ["ELEMENTS", "element_by_element", "pattern", "touched"]

Slope = Callable[[Call, int], Any]
_QUIET = frozenset(("Add", "Sub", "Sum", "BiasAdd", "Neg", "Cast", "CastLike", "Identity", "Dropout", "Mean"))
"""Operators that a path names only where several arrays meet, or not at all."""
_MANY = {**dict.fromkeys(("Add", "Sub", "Sum", "Mean"), "residual"), "Mul": "product", "Div": "quotient"}
_WORDS = {"Mul": "scale", "Div": "scale", "PRelu": "prelu", "LeakyRelu": "leaky_relu", "HardSwish": "hardswish"}


def element_by_element(call: Call) -> None:
    """Every element of the result is made of the elements at its place."""
    _pointwise(call, _slope(call))


def codes(call: Call) -> None:
    """The same for a node that rounds numbers to codes, whose steps are not looked at."""
    _pointwise(call, _slope(call), codes=True)


def _cast(call: Call) -> None:
    """Codes of numbers become numbers; numbers that become integers are counts."""
    _pointwise(call, _slope(call), codes=call.value(0).dtype.kind in "iu")


def _pointwise(call: Call, slope: Slope, codes: bool = False) -> None:
    shape = call.out_shape
    touched(call, call.operands[0][1].spread(shape))
    operands = [(shadow, _number(slope(call, at)) if call.numbers else None) for at, shadow in call.operands]
    call.put(pointwise(call.flow, shape, operands, _words(call)), codes=codes)
    if call.op in _QUIET:
        pattern(call, 0)


def _number(slope: Any) -> Any:
    return float(slope) if np.ndim(slope) == 0 else slope


def _words(call: Call) -> tuple[str, ...]:
    if len(call.operands) > 1 and call.op in _MANY:
        return (_MANY[call.op],)
    return () if call.op in _QUIET else (_WORDS.get(call.op, call.op.lower()),)


def pattern(call: Call, *places: int) -> None:
    """What is made of a softmax's pattern element by element, or in another shape, is one still."""
    if any(call.has(at) and call.inputs[at] in call.tracer.patterns for at in places):
        call.tracer.patterns.add(call.node.output[0])


def touched(call: Call, wide: Shadow) -> None:
    """A parameter meets an array: note which of its elements meet whom. A bias of neurons is part of its layer."""
    for at in range(len(call.inputs) if len(wide.codes) else 0):
        held = call.held(at)
        if held is None or call.value(at).dtype.kind != "f":
            continue
        for axis, size in enumerate(held.shape):
            home = call.tracer.weights.home(held, axis, call.layer) if size > 1 else None
            if home is not None and not call.flow.cells.holding(home[0]):
                call.flow.touched([home], wide, len(wide.shape) - len(held.shape) + axis)


def _slope(call: Call) -> Slope:
    return SLOPES.get(call.op, _measured)


def _measured(call: Call, at: int) -> Any:
    """By central differences of ONNX's own reference implementation."""
    return central(call.alone, given(call, call.value(at), at), at)


def _made(call: Call) -> Any:
    return call.out().astype(np.float64)


def _div(call: Call, at: int) -> Any:
    a, b = call.array(0), call.array(1)
    return 1 / b if at == 0 else -a / b**2


def _pow(call: Call, at: int) -> Any:
    a, b = call.array(0), call.array(1)
    return b * np.power(a, b - 1) if at == 0 else _made(call) * np.log(a)


def _clip(call: Call, at: int) -> Any:
    if at > 0:
        raise NotFollowed("the bounds of a Clip are numbers of neurons")
    x, low, high = call.array(0), call.said.get("min", -np.inf), call.said.get("max", np.inf)
    low, high = call.array(1) if call.has(1) else low, call.array(2) if call.has(2) else high
    return ((x > low) & (x < high)).astype(np.float64)


def _extreme(call: Call, at: int) -> Any:
    """Max and Min of several arrays: what stands there, shared among those that are equal."""
    made = call.out()
    alike = [call.value(place) == made for place in range(len(call.inputs))]
    return alike[at] / np.maximum(sum(one.astype(np.float64) for one in alike), 1)


def _gelu(call: Call, at: int) -> Any:
    x = _summed(call)
    if call.said.get("approximate") == "tanh" or call.op == "FastGelu":
        inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        steep = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        return 0.5 * (1 + np.tanh(inner)) + 0.5 * x * steep / np.cosh(inner) ** 2
    return 0.5 * (1 + erf(x / np.sqrt(2))) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def _summed(call: Call) -> Any:
    """What ONNX Runtime's fused activations act on: the input, with the bias that they add."""
    return call.array(0) + call.array(1) if call.has(1) else call.array(0)


def _sigmoidal(call: Call, at: int) -> Any:
    """x times sigmoid(alpha x)."""
    x, alpha = call.array(0), call.said.get("alpha", 1.702 if call.op == "QuickGelu" else 1.0)
    gate = 1 / (1 + np.exp(-alpha * x))
    return gate + alpha * x * gate * (1 - gate)


def _prelu(call: Call, at: int) -> Any:
    x = call.array(0)
    return np.where(x > 0, 1.0, call.array(1)) if at == 0 else np.where(x > 0, 0.0, x)


def _per_axis(call: Call, at: int) -> Any:
    """The scale of codes, for each index of an axis or for all."""
    scale, axis = call.array(1), call.said.get("axis", 1)
    rank = len(call.shape(0))
    if scale.ndim == 1 and scale.size > 1:
        return scale.reshape([-1 if one == axis % rank else 1 for one in range(rank)])
    return scale.reshape(()) if scale.size == 1 else scale


def _mul(call: Call, at: int) -> Any:
    return call.array(1 - at)


SLOPES: dict[str, Slope] = {
    **dict.fromkeys(("Add", "Sum", "BiasAdd", "Identity", "Cast", "CastLike", "Dropout"), lambda call, at: 1.0),
    "Sub": lambda call, at: 1.0 if at == 0 else -1.0,
    "Mean": lambda call, at: 1 / len(call.inputs),
    "Neg": lambda call, at: -1.0,
    "Mul": _mul,
    "Div": _div,
    "Pow": _pow,
    "Clip": _clip,
    **dict.fromkeys(("Max", "Min"), _extreme),
    "Relu": lambda call, at: (call.value(0) > 0).astype(np.float64),
    "LeakyRelu": lambda call, at: np.where(call.value(0) > 0, 1.0, call.said.get("alpha", 0.01)),
    "Sigmoid": lambda call, at: _made(call) * (1 - _made(call)),
    "Tanh": lambda call, at: 1 - _made(call) ** 2,
    "Exp": lambda call, at: _made(call),
    "Log": lambda call, at: 1 / call.array(0),
    "Sqrt": lambda call, at: 0.5 / _made(call),
    "Reciprocal": lambda call, at: -(_made(call) ** 2),
    "Abs": lambda call, at: np.sign(call.array(0)),
    "Erf": lambda call, at: 2 / np.sqrt(np.pi) * np.exp(-(call.array(0) ** 2)),
    **dict.fromkeys(("Gelu", "FastGelu", "BiasGelu"), _gelu),
    **dict.fromkeys(("QuickGelu", "Swish"), _sigmoidal),
    "PRelu": _prelu,
    "QuantizeLinear": lambda call, at: 1 / _per_axis(call, at),
    "DequantizeLinear": _per_axis,
    "DynamicQuantizeLinear": lambda call, at: 1 / call.out(1).astype(np.float64),
}


def _chosen(call: Call) -> None:
    """Where: each element is one array's or the other's."""
    shape = call.out_shape
    mask = np.broadcast_to(call.value(0), shape)
    shadows = [None if (one := call.shadow(at)) is None else one.spread(shape) for at in (1, 2)]
    if shadows == [None, None]:
        call.put(None)
        return
    call.put(joined(shadows, [shape, shape], lambda planes: np.where(mask, planes[0], planes[1])))
    pattern(call, 1, 2)


def _forgotten(call: Call) -> None:
    """What follows from numbers only by steps: nobody stands behind it."""
    for at in range(len(call.node.output)):
        if call.gives(at):
            call.put(None, at)


_MEASURED = (
    *("Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Shrink"),
    *("Sin", "Cos", "Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh"),
)
_STEPS = (
    *("Shape", "Size", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Xor", "Sign"),
    *("IsNaN", "IsInf", "ArgMax", "ArgMin", "NonZero", "Round", "Floor", "Ceil", "ConstantOfShape", "EyeLike", "Range"),
    *("RandomNormalLike", "RandomUniformLike", "OneHot", "Bernoulli", "BitShift"),
)
ELEMENTS: dict[tuple[str, str], Rule] = {
    **{("", op): element_by_element for op in (*_MEASURED, *SLOPES)},
    **{("com.microsoft", op): element_by_element for op in ("Gelu", "FastGelu", "BiasGelu", "QuickGelu", "BiasAdd")},
    **{(domain, op): codes for domain in ("", "com.microsoft") for op in ("QuantizeLinear", "DynamicQuantizeLinear")},
    ("com.microsoft", "DequantizeLinear"): element_by_element,
    ("", "Cast"): _cast,
    ("", "Where"): _chosen,
    **{("", op): _forgotten for op in _STEPS},
}

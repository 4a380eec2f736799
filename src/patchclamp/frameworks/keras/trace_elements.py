"""Keras layers and operations that work element by element, and activations that layers hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from ...flow import rules
from ...flow.shadow import Shadow
from .trail import Call, Lost, leaves
from .unchanged import under

__all__ = ["activated", "axes_of", "elementwise", "followable", "joint", "same", "softmax"]

Rule = Callable[[Call], None]

POINTWISE = frozenset(
    [
        *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "sigmoid", "hard_sigmoid"),
        *("hard_silu", "hard_swish", "tanh", "softplus", "softsign", "exponential", "mish", "log_sigmoid", "hard_tanh"),
        *("hard_shrink", "soft_shrink", "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "threshold"),
        *("linear", "sin", "cos", "exp", "square", "sqrt", "abs"),
    ]
)
"""Activations that work element by element."""
ALONG = frozenset(["softmax", "log_softmax", "sparsemax"])
"""Activations that take all the neurons at one position."""
FRAMEWORKS = frozenset(["keras", "tensorflow", "jax", "torch", "tf_keras"])


def elementwise(*words: str) -> Rule:
    """Each element is made of the elements at its place; by the backend's own derivative."""

    def rule(call: Call) -> None:
        operands = _operands(call)
        call.give(rules.pointwise(call.flow, call.shape, operands, words) if operands else None)

    return rule


def joint(one: tuple[str, ...], several: tuple[str, ...]) -> Rule:
    """The same of operations on several arrays, with other words where neurons stand behind more than one of them."""

    def rule(call: Call) -> None:
        operands = _operands(call)
        words = several if len(operands) > 1 else one
        call.give(rules.pointwise(call.flow, call.shape, operands, words) if operands else None)

    return rule


def same(call: Call) -> None:
    """What enters leaves; in training, times a factor for each element."""
    shadow = call.shadow
    if shadow is None or call.result is call.x:
        return
    if not call.numbers:
        call.give(shadow)
        return
    given, made = call.trail.array(call.x), call.trail.array(call.result)
    if given.shape != made.shape:
        raise Lost
    if np.array_equal(given, made):
        call.give(shadow)
        return
    slope = np.divide(made, given, out=np.zeros_like(given), where=given != 0)
    call.give(rules.pointwise(call.flow, call.shape, [(shadow, slope)], ("dropout",)))


def softmax(call: Call) -> None:
    shadow = call.shadow
    if shadow is not None:
        axis = getattr(call.layer, "axis", -1)
        call.give(rules.along(call.flow, shadow, axes_of(axis, len(call.shape)), ("softmax",)))


def activated(call: Call, shadow: Shadow) -> None:
    """What a layer gives whose sums have this shadow: through the activation that it holds, if any."""
    activation = getattr(call.layer, "activation", None)
    if activation is None or activation is keras.activations.linear:
        call.give(shadow)
        return
    if isinstance(activation, keras.layers.Layer):
        (before,) = call.before
        call.trail.put(before, shadow)
        call.network.rule(replace(call.on(activation), args=(before,), kwargs={}, before=()))
        return
    call.give(_through(call, activation, shadow))


def followable(activation: Any) -> bool:
    """Whether an activation that a layer holds can be followed: none, or one of Keras' own by its name."""
    if activation is None or isinstance(activation, keras.layers.Layer):
        return activation is None
    ours = getattr(activation, "__module__", "").partition(".")[0] in FRAMEWORKS
    return ours and getattr(activation, "__name__", "") in POINTWISE | ALONG


def _through(call: Call, activation: Any, shadow: Shadow) -> Shadow:
    name = getattr(activation, "__name__", type(activation).__name__)
    if not followable(activation) or len(call.before) != 1:
        text = f"unknown from the activation {name} at {call.name}"
        call.flow.note(text)
        return rules.unknown(call.flow, [shadow], call.shape, text)
    if name in ALONG:
        return rules.along(call.flow, shadow, [len(shadow.shape) - 1], ("softmax",))
    slope = under().slope(activation, call.trail.array(call.before[0])) if call.numbers else None
    return rules.pointwise(call.flow, call.shape, [(shadow, slope)], (name,))


def _operands(call: Call) -> list[tuple[Shadow, Any]]:
    """The shadows of what enters, each with the derivative of every element of the result by that at its place."""
    given = {id(value): value for value in leaves((call.args, dict(call.kwargs)))}
    found = []
    for key, value in given.items():
        shadow = call.trail.shadow(value)
        if shadow is not None:
            found.append((shadow, _slope(call, key, given) if call.numbers else None))
    return found


def _slope(call: Call, key: int, given: dict[int, Any]) -> Any:
    try:
        at = np.broadcast_to(call.trail.array(given[key]), call.shape)
    except ValueError as error:  # Keras gives arrays of fewer axes more of them after the first
        raise Lost from error
    return under().slope(lambda x: leaves(call.again({key: x}))[0], at)


def axes_of(given: Any, rank: int) -> list[int]:
    if given is None:
        return list(range(rank))
    return [int(axis) % rank for axis in (given if isinstance(given, (list, tuple)) else [given])]

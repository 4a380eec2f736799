"""Carry shadows from node to node of a graph whose every tensor is known from a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import RunError
from ...flow.flow import Flow
from ...flow.rules import unknown
from ...flow.shadow import Shadow
from .outlets import Way
from .trace_values import Alone, NotFollowed, attributes
from .trace_weights import Held, Weights

__all__ = ["Call", "Rule", "Scope", "Tracer", "given", "lost", "opset", "silent"]


class Scope:
    """A graph or a body: the numbers of its tensors, who stands behind them, and which of them are weights.

    way     the way to the body, and `label` what the file's reader calls it
    index   which round of the loops around it runs
    values  what the run gave, by name: a function, since constants are read when they are asked for
    """

    def __init__(
        self, entered: tuple[Way, str, tuple[int, ...]], values: Callable[[str], Any], outer: Scope | None
    ) -> None:
        self.way, self.label, self.index = entered
        self.outer = outer
        self.shadows: dict[str, Shadow | None] = {}
        self.held: dict[str, Held] = {}
        self._values = values

    def value(self, name: str) -> Any:
        """The numbers of a tensor, here or in a graph around. RunError for one that the run did not give."""
        found = self._values(name)
        if found is None and self.outer is not None:
            return self.outer.value(name)
        if found is None:
            raise RunError(f"the run gave no tensor {name!r}")
        return found

    def shadow(self, name: str) -> Shadow | None:
        if name in self.shadows or self.outer is None:
            return self.shadows.get(name)
        return self.outer.shadow(name)

    def weights(self, name: str) -> Held | None:
        if name in self.held or self.outer is None:
            return self.held.get(name)
        return self.outer.weights(name)


class Tracer:
    """The shadows of one run: for every node it finds the rule that holds for it.

    rules     (domain, operator) -> the rule
    sources   operators that are looked at also where nobody stands behind what they read: they may use weights
    opsets    the versions of the operators that the file uses
    layers    (operator, inputs) of a node -> the layer that it runs
    """

    def __init__(self, flow: Flow, weights: Weights, rules: Mapping[tuple[str, str], Rule], numbers: bool) -> None:
        self.flow = flow
        self.weights = weights
        self.rules = rules
        self.numbers = numbers
        self.opsets: Sequence[Any] = ()
        self.layers: Mapping[tuple[str, tuple[str, ...]], str] = {}
        self.sources: frozenset[str] = frozenset()
        self.patterns: set[str] = set()
        """Tensors that a softmax gave: what is multiplied with them is attended to."""

    def walk(self, nodes: Sequence[Any], scope: Scope) -> None:
        """All nodes of a graph or a body, in order."""
        for node in nodes:
            call = Call(self, node, scope)
            rule = self.rules.get((call.domain, node.op_type))
            if not call.operands and node.op_type not in self.sources:
                silent(call)
            elif rule is not None:
                _followed(rule, call)
            else:
                lost(call)


class Call:
    """One node at one place of a run: what it reads and gives."""

    def __init__(self, tracer: Tracer, node: Any, scope: Scope) -> None:
        self.tracer = tracer
        self.flow = tracer.flow
        self.numbers = tracer.numbers
        self.node = node
        self.scope = scope
        self.op = str(node.op_type)
        self.domain = "" if node.domain == "ai.onnx" else str(node.domain)
        self.inputs: list[str] = list(node.input)

    @cached_property
    def said(self) -> dict[str, Any]:
        """The attributes of the node."""
        return attributes(self.node)

    @cached_property
    def alone(self) -> Alone:
        return Alone(self.node, self.tracer.opsets)

    @cached_property
    def layer(self) -> str:
        """The layer that the node runs; empty if it runs none."""
        return self.tracer.layers.get((self.op, tuple(self.inputs)), "")

    @cached_property
    def operands(self) -> list[tuple[int, Shadow]]:
        """The inputs that neurons stand behind, by their places."""
        held = ((at, self.scope.shadow(name)) for at, name in enumerate(self.inputs) if name)
        return [(at, shadow) for at, shadow in held if shadow is not None]

    @property
    def text(self) -> str:
        """Where the node is, as people find it."""
        return self.node.name or next(iter(self.node.output), "")

    def has(self, at: int) -> bool:
        """Whether an input is given."""
        return at < len(self.inputs) and bool(self.inputs[at])

    def shadow(self, at: int) -> Shadow | None:
        return self.scope.shadow(self.inputs[at]) if self.has(at) else None

    def held(self, at: int) -> Held | None:
        """The weights that an input is; None of one that is none, or that neurons stand behind."""
        return self.scope.weights(self.inputs[at]) if self.has(at) and self.shadow(at) is None else None

    def value(self, at: int) -> Any:
        """The numbers of an input, as they are."""
        return np.asarray(self.scope.value(self.inputs[at]))

    def array(self, at: int) -> Any:
        """The numbers of an input in float64."""
        return self.value(at).astype(np.float64)

    def out(self, at: int = 0) -> Any:
        """The numbers of an output, as they are."""
        return np.asarray(self.scope.value(self.node.output[at]))

    def shape(self, at: int) -> tuple[int, ...]:
        return tuple(self.value(at).shape)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return tuple(self.out().shape)

    def gives(self, at: int = 0) -> bool:
        return at < len(self.node.output) and bool(self.node.output[at])

    def put(self, shadow: Shadow | None, at: int = 0, codes: bool = False) -> None:
        """Say who stands behind an output. Behind integers nobody does, but behind `codes` of numbers."""
        name = self.node.output[at]
        if shadow is not None and not codes and self.out(at).dtype.kind not in "fcV":
            shadow = None
        self.scope.shadows[name] = None if shadow is None or shadow.empty else shadow


Rule = Callable[[Call], None]


def _followed(rule: Rule, call: Call) -> None:
    try:
        rule(call)
    except NotFollowed:
        lost(call)


def opset(call: Call) -> int:
    """The version of ONNX's own operators that the file uses."""
    return next((int(one.version) for one in call.tracer.opsets if one.domain in ("", "ai.onnx")), 1)


def silent(call: Call) -> None:
    """Nobody stands behind the inputs. What is made of weights alone are those weights, in another form."""
    held = {at: one for at in range(len(call.inputs)) if (one := call.held(at)) is not None}
    if not held or not call.gives():
        return
    if call.op == "Split" and 0 in held:
        for at, name in enumerate(call.node.output):
            call.scope.held[name] = held[0].moved(lambda plane, at=at: call.alone(given(call, plane), at))  # type: ignore[misc]
        return
    rule = HELD.get(call.op)
    made = rule(call, held) if rule is not None else None
    if made is None and rule is None:
        like = [one for one in held.values() if one.shape == call.out_shape]
        made = max(like, key=lambda one: one.size, default=None)
    if made is not None:
        call.scope.held[call.node.output[0]] = made


def lost(call: Call) -> None:
    """An operation of which nothing is known: the answer says so by its name."""
    text = f"unknown from {call.op} at {call.text}"
    call.flow.note(text)
    shadows = [shadow for _, shadow in call.operands]
    for at, name in enumerate(call.node.output):
        found = call.scope.value(name) if name else None
        if isinstance(found, np.ndarray):
            call.put(unknown(call.flow, shadows, found.shape, text), at)
        elif isinstance(found, list):  # a sequence of arrays: what is taken out of it is not known either
            call.scope.shadows[name] = unknown(call.flow, shadows, (), text)


def given(call: Call, plane: Any, at: int = 0) -> list[Any]:
    """The inputs, with something else in place of one of them."""
    return [
        plane if place == at else call.value(place) if call.has(place) else None for place in range(len(call.inputs))
    ]


def _moved(call: Call, held: Mapping[int, Held]) -> Held | None:
    if 0 not in held:
        return None
    return held[0].moved(lambda plane: call.alone(given(call, plane)))


def _turned(call: Call, held: Mapping[int, Held]) -> Held | None:
    rank = len(held[0].shape)
    return held[0].turned(call.said.get("perm", list(range(rank))[::-1]))


def _joined(call: Call, held: Mapping[int, Held]) -> Held | None:
    if len(held) < len(call.inputs):
        return None
    return call.tracer.weights.joined(held.values(), lambda parts: np.concatenate(parts, call.said["axis"]))


def _same(call: Call, held: Mapping[int, Held]) -> Held | None:
    return held.get(0)


def _none(call: Call, held: Mapping[int, Held]) -> Held | None:
    return None


def _moving() -> Iterator[str]:
    yield from ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Expand", "Tile", "GatherElements")


HELD: dict[str, Callable[[Call, Mapping[int, Held]], Held | None]] = {
    **dict.fromkeys(_moving(), _moved),
    "Transpose": _turned,
    "Concat": _joined,
    **dict.fromkeys(("Identity", "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"), _same),
    **dict.fromkeys(("Shape", "Size", "ConstantOfShape", "NonZero", "ReduceSum", "ReduceMean", "ReduceMax"), _none),
}
"""What nodes make of weights. Of others those of the result's shape are taken to be what it was made of."""

"""Nodes that hold bodies: of an If the branch that ran is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...flow.rules import unknown
from ...flow.shadow import Shadow
from .outlets import Way
from .trace_graph import Call, Rule, Scope

__all__ = ["bodies", "read_inside"]

Enter = Callable[[Any, Way, str, Scope | None], Scope]
"""Makes the scope of a graph or a body."""


def bodies(enter: Enter) -> dict[tuple[str, str], Rule]:
    """The rules of nodes with bodies, whose scopes `enter` makes."""

    def chosen(call: Call) -> None:
        """If: its outputs are those of the branch that ran."""
        attribute = "then_branch" if bool(call.value(0).ravel()[0]) else "else_branch"
        body = call.said[attribute]
        way = (*call.scope.way, (call.node.output[0], attribute))
        label = f"{call.text or call.op}.{attribute}"
        label = f"{call.scope.label}.{label}" if call.scope.label else label
        inside = enter(body, way, label, call.scope)
        call.tracer.walk(body.node, inside)
        for name, item in zip(call.node.output, body.output, strict=False):
            call.scope.shadows[name] = inside.shadow(item.name)
            held = inside.weights(item.name)
            if held is not None:
                call.scope.held[name] = held

    def looped(call: Call) -> None:
        """What runs many times is not followed: everybody whom its body reads may stand behind what it gives."""
        text = f"unknown from {call.op} at {call.text}"
        call.flow.note(text)
        names = dict.fromkeys(
            name for body in call.said.values() if hasattr(body, "node") for name in read_inside(body)
        )
        shadows = [
            shadow for name in (*call.inputs, *names) if name and (shadow := call.scope.shadow(name)) is not None
        ]
        for at in range(len(call.node.output)):
            if call.gives(at) and hasattr(found := call.scope.value(call.node.output[at]), "shape"):
                call.put(_lost(call, shadows, found.shape, text), at)

    return {("", "If"): chosen, **{("", op): looped for op in ("Loop", "Scan", "SequenceMap")}}


def _lost(call: Call, shadows: list[Shadow], shape: tuple[int, ...], text: str) -> Shadow:
    return unknown(call.flow, shadows, shape, text)


def read_inside(graph: Any) -> Iterator[str]:
    """Every name that a body reads, its own among them."""
    for node in graph.node:
        yield from node.input
        for item in node.attribute:
            if item.HasField("g"):
                yield from read_inside(item.g)

"""Nodes that hold bodies: of an If the branch that ran is followed, of a Loop or a Scan every round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ...flow.rules import joined, unknown
from ...flow.shadow import Shadow
from .outlets import Way
from .trace_graph import Call, Rule, Scope

__all__ = ["Entered", "bodies", "read_inside"]

Entered = tuple[Way, str, tuple[int, ...]]
"""The way to a body, what the file's reader calls it, and which round of the loops around it runs."""


class _Run(Protocol):
    """What a run tells of bodies: the scope of one, and how often one ran; None where its rounds are not known."""

    def scope(self, graph: Any, entered: Entered, outer: Scope | None) -> Scope: ...

    def rounds(self, entered: Entered) -> int | None: ...


def bodies(run: _Run) -> dict[tuple[str, str], Rule]:
    """The rules of nodes with bodies."""

    def chosen(call: Call) -> None:
        """If: its outputs are those of the branch that ran."""
        attribute = "then_branch" if bool(call.value(0).ravel()[0]) else "else_branch"
        body = call.said[attribute]
        inside = run.scope(body, _entered(call, attribute), call.scope)
        call.tracer.walk(body.node, inside)
        for name, item in zip(call.node.output, body.output, strict=False):
            call.scope.shadows[name] = inside.shadow(item.name)
            held = inside.weights(item.name)
            if held is not None:
                call.scope.held[name] = held

    def rounds(call: Call) -> None:
        """Loop and Scan: what a round gives enters the next one; the others are laid one after the other."""
        entered = _entered(call, "body")
        count = run.rounds(entered)
        if count is None or any(item.name.startswith("scan_") and any(item.ints) for item in call.node.attribute):
            _lost(call)
            return
        states, given, axis = _states(call)
        gathered: list[list[tuple[Shadow | None, tuple[int, ...]]]] = []
        for number in range(count):
            inside = run.scope(call.said["body"], (*entered[:2], (*entered[2], number)), call.scope)
            states, kept = _round(call, inside, states, [_taken(one, number, axis) for one in given])
            gathered.append(kept)
        _given(call, states, gathered)

    return {("", "If"): chosen, **{("", op): rounds for op in ("Loop", "Scan")}, ("", "SequenceMap"): _lost}


def _entered(call: Call, attribute: str) -> Entered:
    label = f"{call.text or call.op}.{attribute}"
    label = f"{call.scope.label}.{label}" if call.scope.label else label
    return (*call.scope.way, (call.node.output[0], attribute)), label, call.scope.index


def _states(call: Call) -> tuple[list[Shadow | None], list[Shadow | None], int]:
    """Who stands behind what is carried from round to round, and behind what each round is given a slice of."""
    shadows = [call.shadow(at) for at in range(len(call.inputs))]
    if call.op == "Loop":
        return shadows[2:], [], 0
    sliced = int(call.said["num_scan_inputs"])
    return shadows[: len(shadows) - sliced], shadows[len(shadows) - sliced :], 0


def _taken(shadow: Shadow | None, number: int, axis: int) -> Shadow | None:
    return None if shadow is None else shadow.each(lambda plane: plane.take(number, axis))


def _round(
    call: Call, inside: Scope, states: Sequence[Shadow | None], sliced: Sequence[Shadow | None]
) -> tuple[list[Shadow | None], list[tuple[Shadow | None, tuple[int, ...]]]]:
    """One round: the states that it leaves, and what it gives beside them, each with its shape."""
    body, first = call.said["body"], 1 if call.op == "Loop" else 0
    names = [item.name for item in body.input][2 if call.op == "Loop" else 0 :]
    inside.shadows.update(zip(names, (*states, *sliced), strict=True))
    call.tracer.walk(body.node, inside)
    left = [item.name for item in body.output][first : first + len(states)]
    kept = [item.name for item in body.output][first + len(states) :]
    found = [(inside.shadow(name), tuple(np.shape(inside.value(name)))) for name in kept]
    return [inside.shadow(name) for name in left], found


def _given(
    call: Call, states: Sequence[Shadow | None], gathered: Sequence[Sequence[tuple[Shadow | None, tuple[int, ...]]]]
) -> None:
    for at, shadow in enumerate(states):
        if call.gives(at):
            call.put(shadow, at)
    for number, each in enumerate(zip(*gathered, strict=True), len(states)):
        shadows, shapes = [shadow for shadow, _ in each], [shape for _, shape in each]
        if call.gives(number) and any(shadow is not None for shadow in shadows):
            call.put(joined(shadows, shapes, np.stack), number)


def _lost(call: Call) -> None:
    """What is not followed: everybody whom its body reads may stand behind what it gives."""
    text = f"unknown from {call.op} at {call.text}"
    call.flow.note(text)
    inside = (body for body in call.said.values() if hasattr(body, "node"))
    names = dict.fromkeys((*call.inputs, *(name for body in inside for name in read_inside(body))))
    shadows = [shadow for name in names if name and (shadow := call.scope.shadow(name)) is not None]
    for at in range(len(call.node.output)):
        if call.gives(at) and isinstance(found := call.scope.value(call.node.output[at]), np.ndarray):
            call.put(unknown(call.flow, shadows, found.shape, text), at)


def read_inside(graph: Any) -> Iterator[str]:
    """Every name that a body reads, its own among them."""
    for node in graph.node:
        yield from node.input
        for item in node.attribute:
            if item.HasField("g"):
                yield from read_inside(item.g)

"""Recurrent nodes, whose inside is no graph: who reads what in them is said here.

The input goes to the units, and the units, through time, to themselves.
"""

from __future__ import annotations

import numpy as np

from ...flow.rules import fresh
from ...flow.shadow import Shadow, coded
from ...flow.weights import Found
from .trace_graph import Call, Rule, lost

__all__ = ["RECURRENT"]


def _stack(gates: int) -> Rule:
    def rule(call: Call) -> None:
        weights = [call.held(1), call.held(2)]
        x, state = call.shadow(0), call.shadow(5)
        units, first = call.shape(2)[2], bool(call.said.get("layout", 0))
        every = []
        for way in range(call.shape(1)[0]):
            found = [
                None if held is None else call.tracer.weights.found(held.without(0, way), [0], [1], [], call.layer)
                for held in weights
            ]
            if found[0] is None or found[1] is None or found[0].labels.size != gates * units:
                lost(call)
                return
            labels = found[0].labels[:units]
            _read(call, found[0], x, call.shape(1)[2])
            if state is not None:
                own = state.each(lambda plane, way=way: plane.take(way, 1 if first else 0))  # type: ignore[misc]
                _read(call, found[1], own, units)
            codes = coded(labels, call.flow.tags.number(("through time",)))[None, None]
            _read(call, found[1], Shadow(codes, np.ones(codes.shape) if call.numbers else None), units)
            every.append(labels)
        _put(call, np.stack(every), first)

    return rule


def _read(call: Call, found: Found, shadow: Shadow | None, width: int) -> None:
    """A matrix reads; the last axis of the shadow is its input."""
    if shadow is None:
        return
    for reader, slots in found.reads:
        call.flow.weighed(reader, slots.ravel(), shadow.shaped(-1, width))


def _put(call: Call, labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]], first: bool) -> None:
    """All steps, (step, direction, batch, unit), and the last states; with `first` the batch comes first."""
    for at in range(len(call.node.output)):
        if call.gives(at):
            wide = labels[None, None] if first and at == 0 else labels[None] if first else labels[:, None, :]
            call.put(fresh(call.flow, wide, tuple(call.out(at).shape), call.numbers), at)


RECURRENT: dict[tuple[str, str], Rule] = {("", "LSTM"): _stack(4), ("", "GRU"): _stack(3), ("", "RNN"): _stack(1)}

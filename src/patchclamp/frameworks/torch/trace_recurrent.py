"""Recurrent layers of torch, which run as one operation: who reads what inside is said here.

The input goes to the first layer of a stack, the units of a layer to the next one and, through time, to themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...flow.rules import fresh
from ...flow.shadow import LABEL, Ints, Shadow, coded
from .tracer import Tracer, tensors

__all__ = ["RECURRENT"]

Args = tuple[Any, ...]
Named = dict[str, Any]


def _read(tracer: Tracer, weight: torch.Tensor, shadow: Shadow | None) -> None:
    """A matrix of a recurrent layer reads; the last axis of the shadow is its input."""
    if shadow is None:
        return
    found = tracer.weights.found(weight, [0], [1], [])
    width = weight.shape[1]
    for reader, slots in found.reads:
        tracer.flow.weighed(reader, slots, shadow.shaped(int(np.prod(shadow.shape)) // width, width))


def _units(tracer: Tracer, weight: torch.Tensor, gates: int) -> Ints:
    """The labels of the units whose gates are the rows of a matrix."""
    labels = tracer.weights.found(weight, [0], [1], []).labels
    return labels[: weight.shape[0] // gates]


def _line(tracer: Tracer, labels: Ints, words: tuple[str, ...] = (), carried: Ints | None = None) -> Shadow:
    """Units by themselves, as what another matrix reads, and what the state that they began with carries on to them."""
    codes = coded(labels, tracer.flow.tags.number(words))[None, None]
    return Shadow(codes, np.ones(codes.shape) if tracer.numbers else None, None if carried is None else carried[None])


def _carried(tracer: Tracer, shadow: Shadow | None) -> Ints | None:
    """Who stands behind the state that each unit began with: (..., unit). Gates pass a part of it on."""
    if shadow is None:
        return None
    group = tracer.flow.groups.over(shadow, [len(shadow.shape) - 2] if len(shadow.shape) > 1 else [])
    return coded(group, tracer.flow.tags.number(("initial state", "mixed")))


def _stack(gates: int, states: int) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        names = [one.name for one in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        packed = "batch_sizes" in given
        x = given["data" if packed else "input"]
        weights = list(given["params"])
        directions = 2 if given["bidirectional"] else 1
        layers = given["num_layers"]
        each = len(weights) // (layers * directions)
        projected = gates == 4 and each in (3, 5)
        hidden = given["hx"]
        hidden = list(hidden) if isinstance(hidden, (list, tuple)) else [hidden]
        below: Shadow | None = tracer.shadow(x)
        begun = tracer.shadow(hidden[-1]) if gates > 1 and not packed else None
        if begun is not None and len(begun.shape) == 2:
            begun = begun.shaped(begun.shape[0], 1, begun.shape[1])
        carried = _carried(tracer, begun)
        kept: list[Ints] = []
        every: list[Ints] = []
        top: list[Ints] = []
        for layer in range(layers):
            top = []
            for direction in range(directions):
                at = (layer * directions + direction) * each
                weight_ih, weight_hh = weights[at : at + 2]
                units = _units(tracer, weight_ih, gates)
                tracer.flow.ran(units)
                own = None if carried is None else carried[layer * directions + direction]
                _read(tracer, weight_ih, below)
                state = tracer.shadow(hidden[0])
                if state is not None:
                    one = layer * directions + direction
                    _read(tracer, weight_hh, state.each(lambda plane, one=one: plane[one]))  # type: ignore[misc]
                if projected:
                    projection = weights[at + each - 1]
                    _read(tracer, projection, _line(tracer, units, (), own))
                    own = None
                    units = tracer.weights.found(projection, [0], [1], []).labels
                    tracer.flow.ran(units)
                _read(tracer, weight_hh, _line(tracer, units, ("through time",), own))
                top.append(units)
                kept.append(np.zeros(len(units), np.int64) if own is None else own)
            every += top
            mixed = np.concatenate(kept[-directions:])
            below = _line(tracer, np.concatenate(top), (), mixed if mixed.any() else None)
        results = list(tensors(out))
        for result in (results[0], *results[1 : 1 + states]):
            labels = np.concatenate(top) if result is results[0] else np.stack(every)[:, None, :]
            if result is not results[0] and result.ndim == 2:
                labels = labels[:, 0]
            if labels.shape[-1] == result.shape[-1]:
                found = fresh(tracer.flow, labels, tuple(result.shape), tracer.numbers)
                held = np.concatenate(kept[-directions:]) if result is results[0] else np.stack(kept)[:, None, :]
                if held.any():
                    held = np.broadcast_to(held[:, 0] if result.ndim < held.ndim else held, result.shape)
                    found = Shadow(found.codes, found.gains, held)
                tracer.put(result, found)

    return rule


def _cell(gates: int, states: int) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        x, hidden, weight_ih, weight_hh = args[:4]
        state = hidden[0] if isinstance(hidden, (list, tuple)) else hidden
        units = _units(tracer, weight_ih, gates)
        _read(tracer, weight_ih, tracer.shadow(x))
        _read(tracer, weight_hh, tracer.shadow(state))
        last = hidden[-1] if isinstance(hidden, (list, tuple)) else hidden
        carried = _from_others(tracer, tracer.shadow(last) if gates > 1 else None, units)
        for result in list(tensors(out))[:states]:
            found = fresh(tracer.flow, units, tuple(result.shape), tracer.numbers)
            mixed = None if carried is None else np.broadcast_to(carried, result.shape)
            tracer.put(result, Shadow(found.codes, found.gains, mixed))

    return rule


def _from_others(tracer: Tracer, shadow: Shadow | None, units: Ints) -> Ints | None:
    """What the state that a cell is given carries on to each unit, if that is more than the unit itself."""
    carried = _carried(tracer, shadow)
    if carried is None:
        return None
    members = tracer.flow.groups.members
    own = [set(members[code & LABEL].tolist()) <= {unit} for code, unit in zip(carried.tolist(), units, strict=True)]
    kept = np.where(own, 0, carried)
    return kept if kept.any() else None


RECURRENT: dict[str, Callable[..., None]] = {
    "lstm": _stack(4, 2),
    "gru": _stack(3, 1),
    "rnn_tanh": _stack(1, 1),
    "rnn_relu": _stack(1, 1),
    "lstm_cell": _cell(4, 2),
    "gru_cell": _cell(3, 1),
    "rnn_tanh_cell": _cell(1, 1),
    "rnn_relu_cell": _cell(1, 1),
}

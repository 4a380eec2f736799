"""Recurrent layers of Keras: the input goes to the units, the units through time to themselves, and out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ...flow import rules
from ...flow.shadow import Ints, Shadow, coded
from .trace_moves import channels
from .trail import Call, Lost, leaves

__all__ = ["bidirectional", "conv_lstm", "recurrent", "time_distributed"]

CELLS = ((keras.layers.LSTMCell, 4, 2), (keras.layers.GRUCell, 3, 1), (keras.layers.SimpleRNNCell, 1, 1))
"""Cells, how many gates each has, and how many states it gives."""


def recurrent(call: Call) -> None:
    """A recurrent layer with the cell that it makes itself, or with cells that it was given, one above the other."""
    layer = call.layer
    own = layer.cell
    cells = list(own.cells) if isinstance(own, keras.layers.StackedRNNCells) else [own]
    below = call.trail.shadow(call.x)
    starts = _starts(call)
    states: list[Ints] = []
    for cell in cells:
        gates, count = next(((gates, count) for kind, gates, count in CELLS if type(cell) is kind), (0, 0))
        if not gates:
            raise Lost
        here = call.on(cell) if id(cell) in call.network.names else call
        units = _cell(here, gates, below, starts[len(states)] if len(states) < len(starts) else None)
        states += [units] * count
        below = _line(call, units)
    results = leaves(call.out)
    call.give(call.fresh(units, tuple(results[0].shape), -1))
    for result, labels in zip(results[1:], states, strict=False):
        call.trail.put(result, call.fresh(labels, tuple(result.shape), -1))


def _starts(call: Call) -> list[Shadow | None]:
    """Who stands behind the states that the layer is given to start with."""
    given = call.given.get("initial_state")
    return [call.trail.shadow(one) for one in leaves(given)] if given is not None else []


def _cell(call: Call, gates: int, below: Shadow | None, start: Shadow | None) -> Ints:
    """What the arrays of a cell read; the labels of its units."""
    kernel, again = call.array("kernel"), call.array("recurrent_kernel")
    reads, recalls = call.found(kernel, [1], [0]), call.found(again, [1], [0])
    units: Ints = reads.labels[: kernel.shape[1] // gates]
    call.flow.ran(units)
    call.read(reads, below)
    call.read(recalls, start)
    call.read(recalls, _line(call, units, ("through time",)))
    return units


def _line(call: Call, labels: Ints, words: tuple[str, ...] = ()) -> Shadow:
    """Units by themselves, as what another matrix reads."""
    codes = coded(labels, call.flow.tags.number(words))[None, None]
    return Shadow(codes, np.ones(codes.shape) if call.numbers else None)


def conv_lstm(call: Call) -> None:
    """The same with convolutions for matrices."""
    kernel, again = call.array("kernel"), call.array("recurrent_kernel")
    reads, recalls = call.found(kernel, [-1], [-2]), call.found(again, [-1], [-2])
    units: Ints = reads.labels[: kernel.shape[-1] // 4]
    shadow = call.shadow
    if shadow is not None:
        rank = len(shadow.shape)
        own = 2 if call.layer.data_format == "channels_first" else rank - 1
        call.read(reads, shadow.turned([*(axis for axis in range(rank) if axis != own), own]))
    call.read(recalls, _line(call, units, ("through time",)))
    for number, result in enumerate(leaves(call.out)):
        rank = len(result.shape)
        axis = channels(call, rank) if number or not call.layer.return_sequences else channels(call, rank - 1) + 1
        call.trail.put(result, call.fresh(units, tuple(result.shape), axis))


def time_distributed(call: Call) -> None:
    """A layer at each time step: as at each example of a larger batch."""
    x, inner = call.x, call.layer.layer
    shape = tuple(x.shape)
    flat = keras.ops.reshape(x, (-1, *shape[2:]))
    shadow = call.trail.shadow(x)
    call.trail.put(flat, None if shadow is None else shadow.shaped(shape[0] * shape[1], *shape[2:]))
    out = call.network.run(call.trail, inner, flat)
    found = call.trail.shadow(leaves(out)[0])
    call.give(None if found is None else found.shaped(*call.shape))


def bidirectional(call: Call) -> None:
    """One layer forwards and one backwards, whose outputs are merged."""
    layer, trail = call.layer, call.trail
    results = leaves(call.out)
    starts = call.given.get("initial_state")
    half = len(starts) // 2 if starts is not None else 0
    sides: list[list[Any]] = []
    for number, one in enumerate((layer.forward_layer, layer.backward_layer)):
        given = {} if starts is None else {"initial_state": list(starts)[number * half : (number + 1) * half]}
        mask = call.given.get("mask")
        given |= {} if mask is None else {"mask": mask}
        sides.append(leaves(call.network.run(trail, one, call.x, **given)))
    ahead, back = ([trail.shadow(value) for value in side] for side in sides)
    first, second = ahead[0], back[0]
    assert first is not None and second is not None
    rest = 1
    if layer.merge_mode is None:
        trail.put(results[1], second)
        call.give(first)
        rest = 2
    else:
        call.give(_merged(call, [first, second], sides))
    for result, shadow in zip(results[rest:], [*ahead[1:], *back[1:]], strict=True):
        trail.put(result, shadow)


def _merged(call: Call, shadows: list[Shadow], sides: list[list[Any]]) -> Shadow:
    mode = call.layer.merge_mode
    if mode == "concat":
        shapes = [shadow.shape for shadow in shadows]
        found = rules.joined(shadows, shapes, lambda planes: np.concatenate(planes, axis=-1))
        return rules.retagged(call.flow, found, ("concat",))
    slopes: list[Any] = [{"sum": 1.0, "ave": 0.5, "mul": None}[mode]] * 2
    if mode == "mul" and call.numbers:
        values = [call.trail.array(side[0]) for side in sides]
        if call.layer.return_sequences:
            values[1] = np.flip(values[1], axis=1)
        slopes = values[::-1]
    if not call.numbers:
        slopes = [None, None]
    words = ("product",) if mode == "mul" else ("residual",)
    return rules.pointwise(call.flow, call.shape, list(zip(shadows, slopes, strict=True)), words)

"""A recurrent layer as recorded, run again step by step: its gates and hidden states, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .capture import Seen
from .errors import KindError
from .formulas.case import Floats
from .formulas.recurrent import Trace, run
from .model import LayerInfo, Neurons, Runner

__all__ = ["Rerun", "rerun"]


@dataclass(frozen=True)
class Rerun:
    """The traces [layer][direction] of one call, and how the framework lays out batch and step."""

    traces: list[list[Trace]]
    output: Floats | None
    last_hidden: Floats
    last_cell: Floats | None
    batched: bool
    batch_first: bool
    stepped: bool

    def trace(self, neurons: Neurons, number: int) -> tuple[Trace, int]:
        """The trace that a unit belongs to and its place in it."""
        coords = neurons.population.coords(number)
        return self.traces[coords.get("layer", 0)][coords.get("direction", 0)], coords["neuron"]

    def is_top(self, neurons: Neurons, number: int) -> bool:
        return neurons.population.coords(number).get("layer", 0) == len(self.traces) - 1

    def native(self, values: Floats) -> Floats:
        """(batch, step, ...) in the framework's own order of axes."""
        if not self.stepped:
            values = values[:, 0]
            return values if self.batched else values[0]
        if not self.batched:
            return values[0]
        return values if self.batch_first else values.swapaxes(0, 1)

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the leading axes that `native` leaves."""
        if not self.stepped:
            return ("batch",) if self.batched else ()
        if not self.batched:
            return ("step",)
        return ("batch", "step") if self.batch_first else ("step", "batch")


def rerun(runner: Runner, layer: LayerInfo, seen: Seen) -> Rerun:
    """Run the recorded call again in float64 from the layer's own arrays."""
    if (
        seen.config["training"]
        and seen.config.get("dropout")
        and len(_main(layer).axes) > 1
        and _main(layer).axes[0].size > 1
    ):
        raise KindError(
            f"{layer.name!r} drops out between its layers in training mode, which cannot be rerun", "model.eval()"
        )
    values = list(seen.inputs.values())
    if not hasattr(values[0], "shape"):
        raise KindError(f"{layer.name!r} was given a packed sequence", "pass a padded batch, or one sequence at a time")
    x = np.asarray(runner.numpy(values[0]))
    stepped = "batch_first" in seen.config
    batched = x.ndim == (3 if stepped else 2)
    batch_first = bool(seen.config.get("batch_first"))
    x = _batch_step(x, stepped, batched, batch_first)
    stack = _weights(runner, layer)
    start = _start(runner, values[1] if len(values) > 1 else None, stack, len(x), batched and stepped)
    roundoff, _ = runner.precision(values[0])
    traces = run(stack, x, start, roundoff, str(seen.config.get("nonlinearity", "tanh")))
    output, hidden, cell = _left(runner, seen.output, stepped)
    return Rerun(traces, output, hidden, cell, batched, batch_first, stepped)


def _main(layer: LayerInfo) -> Any:
    return layer.populations[""]


def _batch_step(x: Floats, stepped: bool, batched: bool, batch_first: bool) -> Floats:
    if not stepped:
        return x[:, None] if batched else x[None, None]
    if not batched:
        return x[None]
    return x if batch_first else x.swapaxes(0, 1)


def _weights(runner: Runner, layer: LayerInfo) -> list[list[Mapping[str, Floats]]]:
    """The arrays of the layer as [layer][direction] of word -> (gate, unit, ...)."""
    cells = _main(layer)
    sizes = {axis.name: axis.size for axis in cells.axes}
    stack: list[list[dict[str, Floats]]] = [
        [{} for _ in range(sizes.get("direction", 1))] for _ in range(sizes.get("layer", 1))
    ]
    for population in layer.populations.values():
        for placed in population.placed:
            values = runner.numpy(placed.array.read())
            gates = placed.layout.sizes.get("gate")
            values = values if gates is None else values.reshape(gates, -1, *values.shape[1:])
            stack[placed.at.get("layer", 0)][placed.at.get("direction", 0)][placed.word] = values
    return stack  # type: ignore[return-value]


def _start(
    runner: Runner, given: Any, stack: list[list[Mapping[str, Floats]]], batch: int, batched: bool
) -> tuple[Floats, Floats]:
    """h0 and c0, each (layer * direction, batch, size); zero where none was given."""
    first = stack[0][0]
    count = len(stack) * len(stack[0])
    hidden = first["weight_hh"].shape[2]
    zero = (np.zeros((count, batch, hidden)), np.zeros((count, batch, first["weight_hh"].shape[1])))
    if given is None:
        return zero
    states = [runner.numpy(state) for state in (given if isinstance(given, tuple) else (given,))]
    shaped = [state.reshape(count, batch, -1) for state in states]
    return shaped[0], shaped[1] if len(shaped) > 1 else zero[1]


def _left(runner: Runner, output: Any, stepped: bool) -> tuple[Floats | None, Floats, Floats | None]:
    """What the framework returned: all outputs, the last hidden states, the last cell states."""
    if not stepped:
        hidden, cell = output if isinstance(output, tuple) else (output, None)
        return None, runner.numpy(hidden), None if cell is None else runner.numpy(cell)
    values, last = output
    hidden, cell = last if isinstance(last, tuple) else (last, None)
    return runner.numpy(values), runner.numpy(hidden), None if cell is None else runner.numpy(cell)

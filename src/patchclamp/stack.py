"""A recurrent layer as recorded, run again step by step: its gates and hidden states, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .capture import Seen, bounded
from .compare import precision
from .errors import KindError
from .formulas.case import Floats, Ints
from .formulas.recurrent import Trace, run
from .model import LayerInfo, Neurons, Population
from .protocols import Runner

__all__ = ["Rerun", "rerun"]


@dataclass(frozen=True)
class Rerun:
    """The traces [layer][direction] of one call, and how the framework lays out batch and step.

    `output` is what it gave at each step (batch, step, feature), None for a cell, which gives its last state only.
    `hidden` and `cell` are the last states (layer * direction, batch, unit). In a packed batch `lengths` differ:
    past the end of a sequence every value is NaN.
    """

    traces: list[list[Trace]]
    output: Floats | None
    hidden: Floats
    cell: Floats | None
    lengths: Ints
    axes: tuple[str, ...]

    def trace(self, coords: Mapping[str, int]) -> Trace:
        """The trace that a unit belongs to."""
        return self.traces[coords.get("layer", 0)][coords.get("direction", 0)]

    def is_top(self, coords: Mapping[str, int]) -> bool:
        return coords.get("layer", 0) == len(self.traces) - 1

    def row(self, coords: Mapping[str, int]) -> int:
        """Where the last states of a unit's layer and direction stand."""
        return coords.get("layer", 0) * len(self.traces[0]) + coords.get("direction", 0)

    def last(self, values: Floats, coords: Mapping[str, int]) -> Floats:
        """(batch, ...) at the last step that each sequence has; in reverse that is the first."""
        steps = np.zeros_like(self.lengths) if coords.get("direction", 0) else self.lengths - 1
        return np.asarray(values[np.arange(len(values)), steps])

    def native(self, values: Floats) -> Floats:
        """(batch, step, ...) in the framework's own order of axes, which `axes` names."""
        past = np.arange(values.shape[1]) >= self.lengths[:, None]
        if past.any():
            values = values.copy()
            values[past] = np.nan
        if "step" not in self.axes:
            return np.asarray(values[:, 0] if self.axes else values[0, 0])
        if "batch" not in self.axes:
            return np.asarray(values[0])
        return values if self.axes[0] == "batch" else np.swapaxes(values, 0, 1)

    def at(self, values: Floats, neurons: Neurons) -> Floats:
        """What `native` gave, at the time step of a position. Raises AddressError off the sequence."""
        if not neurons.position:
            return values
        extents = (self.traces[0][0].hidden.shape[1],) if "step" in self.axes else ()
        (step,) = bounded(neurons.layer, extents, neurons.position)
        return np.asarray(np.take(values, step, axis=self.axes.index("step")))


def rerun(runner: Runner, layer: LayerInfo, seen: Seen) -> Rerun:
    """Run the recorded call again in float64 from the layer's own arrays.

    Raises KindError where it drops out between its layers at random.
    """
    cells = layer.populations[""]
    sizes = {axis.name: axis.size for axis in cells.axes}
    if seen.config["training"] and seen.config.get("dropout") and sizes.get("layer", 1) > 1:
        raise KindError(
            f"{layer.name!r} drops out between its layers in training mode, which cannot be rerun", "model.eval()"
        )
    given = list(seen.inputs.values())
    entered = _Sequences.of(runner, given[0], "batch_first" in seen.config, bool(seen.config.get("batch_first")))
    stack = _weights(runner, layer, sizes)
    start = entered.start(runner, given[1] if len(given) > 1 else None, stack)
    exact = precision(runner, Neurons(layer, cells, range(len(cells))), seen)
    exact = replace(exact, steps=int(seen.config.get("steps", 0)))
    if exact.steps and sizes.get("direction", 1) > 1 and len(set(entered.lengths)) > 1:
        raise KindError(f"{layer.name!r} rounds what sequences of different lengths give together, which is not rerun")
    traces = run(stack, entered.x, start, entered.lengths, exact, str(seen.config.get("nonlinearity", "tanh")))
    output, hidden, cell = _left(runner, seen.output, stepped="batch_first" in seen.config)
    return Rerun(
        traces,
        None if output is None else entered.unpacked(runner, output),
        entered.states(hidden),
        None if cell is None else entered.states(cell),
        entered.lengths,
        entered.axes,
    )


@dataclass(frozen=True)
class _Sequences:
    """What entered, as x (batch, step, in) in the order it was given, with the length of each sequence."""

    x: Floats
    lengths: Ints
    axes: tuple[str, ...]
    packed: Any = None

    @classmethod
    def of(cls, runner: Runner, value: Any, stepped: bool, batch_first: bool) -> _Sequences:
        if not hasattr(value, "shape"):
            sizes = runner.numpy(value.batch_sizes)
            lengths = np.array([(sizes > place).sum() for place in _places(runner, value)])
            return cls(_unpack(runner, value, value.data), lengths, ("batch", "step"), value)
        x: Floats = np.asarray(runner.numpy(value), dtype=np.float64)
        axes: tuple[str, ...]
        batched = x.ndim == (3 if stepped else 2)
        if not stepped:
            x, axes = (x[:, None], ("batch",)) if batched else (x[None, None], ())
        elif not batched:
            x, axes = x[None], ("step",)
        else:
            x, axes = (x, ("batch", "step")) if batch_first else (x.swapaxes(0, 1), ("step", "batch"))
        return cls(x, np.full(len(x), x.shape[1]), axes)

    def start(self, runner: Runner, given: Any, stack: list[list[dict[str, Floats]]]) -> tuple[Floats, Floats]:
        """h0 and c0, each (layer * direction, batch, size); zero where none was given."""
        first, count = stack[0][0]["weight_hh"], len(stack) * len(stack[0])
        zero = (np.zeros((count, len(self.x), first.shape[2])), np.zeros((count, len(self.x), first.shape[1])))
        if given is None:
            return zero
        states = [self.states(runner.numpy(state)) for state in (given if isinstance(given, tuple) else (given,))]
        shaped = [state.reshape(count, len(self.x), -1) for state in states]
        return shaped[0], shaped[1] if len(shaped) > 1 else zero[1]

    def states(self, values: Floats) -> Floats:
        """States as the framework lays them out, as (layer * direction, batch, size)."""
        if "step" not in self.axes:
            return values[None] if self.axes else values[None, None]
        return values if "batch" in self.axes else values[:, None]

    def unpacked(self, runner: Runner, output: Any) -> Floats:
        """The output of every step as (batch, step, feature)."""
        if self.packed is not None:
            return _unpack(runner, self.packed, output.data)
        values = np.asarray(runner.numpy(output), dtype=np.float64)
        if "batch" not in self.axes:
            return values[None]
        return values if self.axes[0] == "batch" else values.swapaxes(0, 1)


def _unpack(runner: Runner, packed: Any, data: Any) -> Floats:
    """The rows of a packed batch as (batch, step, feature) in the order the sequences were given; zero past an end."""
    rows, sizes = np.asarray(runner.numpy(data), dtype=np.float64), runner.numpy(packed.batch_sizes)
    padded = np.zeros((int(sizes[0]), len(sizes), rows.shape[-1]))
    first = 0
    for step, size in enumerate(sizes):
        padded[:size, step] = rows[first : first + size]
        first += size
    return padded[_places(runner, packed)]


def _places(runner: Runner, packed: Any) -> Ints:
    """Where each sequence stands among the sorted ones."""
    order = packed.unsorted_indices
    return np.arange(int(packed.batch_sizes[0])) if order is None else np.asarray(runner.numpy(order), dtype=np.intp)


def _weights(runner: Runner, layer: LayerInfo, sizes: Mapping[str, int]) -> list[list[dict[str, Floats]]]:
    """The arrays of the layer as [layer][direction] of word -> (gate, unit, ...)."""
    stack: list[list[dict[str, Floats]]] = [
        [{} for _ in range(sizes.get("direction", 1))] for _ in range(sizes.get("layer", 1))
    ]
    for population in layer.populations.values():
        _place_weights(runner, population, stack)
    return stack


def _place_weights(runner: Runner, population: Population, stack: list[list[dict[str, Floats]]]) -> None:
    for placed in population.placed:
        values = runner.numpy(placed.array.read())
        gates = placed.layout.sizes.get("gate")
        values = values if gates is None else values.reshape(gates, -1, *values.shape[1:])
        stack[placed.at.get("layer", 0)][placed.at.get("direction", 0)][placed.word] = values


def _left(runner: Runner, output: Any, *, stepped: bool) -> tuple[Any, Floats, Floats | None]:
    """What the framework returned: all outputs, the last hidden states, the last cell states."""
    values, last = output if stepped else (None, output)
    hidden, cell = last if isinstance(last, tuple) else (last, None)
    return values, runner.numpy(hidden), None if cell is None else runner.numpy(cell)

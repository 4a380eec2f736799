"""Record recurrent units step by step: each gate by name, the cell, and what the unit gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .capture import Seen
from .errors import KindError
from .formulas import Floats
from .formulas.recurrent import Trace
from .model import Neurons
from .protocols import Runner
from .recorded import PARTS, Call
from .stack import Rerun, rerun

__all__ = ["record_units"]

MADE = "recomputed from the recorded inputs (the fused operation hides it)"


@dataclass(frozen=True)
class _Unit:
    """One recurrent unit in a rerun: each method gives (batch, step, ...)."""

    again: Rerun
    neurons: Neurons
    number: int

    @property
    def coords(self) -> Mapping[str, int]:
        return self.neurons.population.coords(self.number)

    @property
    def trace(self) -> Trace:
        return self.again.trace(self.coords)

    @property
    def place(self) -> int:
        return self.coords["neuron"]

    @property
    def projection(self) -> bool:
        return self.neurons.population.name == "proj"

    def gate(self, number: int) -> Floats:
        return self.trace.gates[..., number, self.place]

    @property
    def cell(self) -> Floats:
        return self.trace.cell[..., self.place]

    def inputs(self) -> dict[str, Floats]:
        """What it reads: the layer's input and the states of the step before; a projection reads the units."""
        if self.projection:
            return {"unit": self.trace.state}
        return {"in": self.trace.inputs, "from": self.trace.previous}

    def pre_activation(self, gate: int | None) -> Floats:
        if self.projection:
            return self.trace.hidden[..., self.place]
        found = self.trace.pre_activation[..., self.place]
        return found[..., gate] if gate is not None else found[..., 0] if found.shape[-1] == 1 else found

    def output(self, gate: int | None) -> tuple[Floats, str]:
        """What the framework returned where it shows it, else what was recomputed."""
        if gate is not None:
            return self.gate(gate), MADE
        if "proj" in self.neurons.layer.populations and not self.projection:
            return self.trace.state[..., self.place], MADE
        if self.again.output is None:
            return self.again.hidden[0][:, None, self.place], "recorded"
        if not self.again.is_top(self.coords):
            return self.trace.hidden[..., self.place], MADE
        width = self.trace.hidden.shape[-1]
        return self.again.output[..., self.coords.get("direction", 0) * width + self.place], "recorded"


def record_units(runner: Runner, neurons: Neurons, seen: Seen, wanted: frozenset[str]) -> Call:
    """One call of a recurrent layer, for these units.

    What the last layer gives is recorded; its gates, and all of the inner layers, are run again.
    """
    view = _View(runner, neurons, seen, rerun(runner, neurons.layer, seen))
    units = [_Unit(view.again, neurons, number) for number in neurons.numbers]
    gate, gates = neurons.fixed.get("gate"), view.gates
    outputs = [unit.output(gate) for unit in units]
    inputs, input_axes = view.inputs(units) if "inputs" in wanted else ({}, ())
    values = {
        "inputs": inputs,
        "pre_activation": view.stacked([unit.pre_activation(gate) for unit in units]),
        "output": view.stacked([output for output, _ in outputs]),
    }
    lead, per_gate = view.lead, ("gate",) if gate is None and len(gates) > 1 else ()
    axes = {"inputs": input_axes, "pre_activation": (*lead, *per_gate), "output": lead}
    first = all(unit.coords.get("layer", 0) == 0 for unit in units) and not units[0].projection
    read = (f"{name}: {'recorded' if name == 'in' and first else MADE}" for name in inputs)
    source = {"inputs": "; ".join(read), "pre_activation": MADE, "output": _joined(said for _, said in outputs)}
    kept = [name for name in PARTS if name in wanted]
    return Call(
        **{name: values[name] for name in kept},
        axes={name: axes[name] for name in kept},
        source={name: source[name] for name in kept},
        gates={name: view.stacked([unit.gate(i) for unit in units]) for i, name in enumerate(gates)},
        cell=view.stacked([unit.cell for unit in units]) if len(gates) == 4 else None,
    )


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


@dataclass(frozen=True)
class _View:
    """How values of a rerun are handed out: the framework's type and order of axes, at the position asked for."""

    runner: Runner
    neurons: Neurons
    seen: Seen
    again: Rerun

    @property
    def gates(self) -> tuple[str, ...]:
        return next((facet.labels for facet in self.neurons.population.facets if facet.name == "gate"), ())

    @property
    def lead(self) -> tuple[str, ...]:
        """The names of the axes before any feature."""
        axes = tuple(name for name in self.again.axes if name != "step" or not self.neurons.position)
        return axes if self.neurons.single else ("neuron", *axes)

    def stacked(self, values: Sequence[Floats]) -> Any:
        """Values (batch, step, ...) of each unit, one behind the other if several were selected."""
        shown = [self.again.at(self.again.native(value), self.neurons) for value in values]
        return self._given(shown[0] if self.neurons.single else np.stack(shown))

    def inputs(self, units: Sequence[_Unit]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What they read, once if all read the same, with the names of its axes."""
        axes = tuple(name for name in self.lead if name != "neuron")
        if len({(unit.coords.get("layer"), unit.coords.get("direction")) for unit in units}) == 1:
            read = units[0].inputs()
            native = {name: self.again.at(self.again.native(value), self.neurons) for name, value in read.items()}
            return {name: self._given(value) for name, value in native.items()}, (*axes, "in")
        each = [unit.inputs() for unit in units]
        if len({value.shape for read in each for name, value in read.items() if name == "in"}) > 1:
            raise KindError(
                f"the inputs of layers of {self.neurons.layer.name!r} differ in size, so they are no one array",
                'record one layer at a time, or keep=("output",)',
            )
        return {name: self.stacked([read[name] for read in each]) for name in each[0]}, ("neuron", *axes, "in")

    def _given(self, values: Floats) -> Any:
        template = next(item for item in (*self.seen.inputs.values(), self.seen.output) if item is not None)
        while isinstance(template, tuple):
            template = template[0]
        return self.runner.like(np.array(values, order="C"), template)

"""Record recurrent units step by step: each gate by name, the cell, and what the unit gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .capture import Seen
from .errors import KindError
from .formulas import Floats
from .formulas.cells import labels_of
from .formulas.recurrent import Trace
from .model import Neurons
from .protocols import Runner
from .recorded import PARTS, Call
from .stack import Rerun, rerun

__all__ = ["record_units"]

MADE = "recomputed from the recorded inputs (the fused operation hides it)"
LAST = "at the last step, which alone is returned"


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

    def gate(self, label: str) -> Floats:
        return self.trace.gates[..., self.again.gates.index(label), self.place]

    @property
    def cell(self) -> Floats:
        return self.trace.cell[..., self.place]

    def inputs(self) -> dict[str, Floats]:
        """What it reads: the layer's input and the states of the step before; a projection reads the units."""
        if self.projection:
            return {"unit": self.trace.state}
        return {"in": self.trace.inputs, "from": self.trace.previous}

    def pre_activation(self, gates: Sequence[str]) -> Floats:
        """Of one gate, or of several in that order on a last axis."""
        if self.projection:
            return self.trace.hidden[..., self.place]
        found = self.trace.pre_activation[..., self.place][..., [self.again.gates.index(gate) for gate in gates]]
        return found[..., 0] if len(gates) == 1 else found

    def output(self, gate: str) -> tuple[Floats, str]:
        """What the framework returned where it shows it, else what was recomputed."""
        again = self.again
        if gate:
            return self.gate(gate), MADE
        if "proj" in self.neurons.layer.populations and not self.projection:
            return self.trace.state[..., self.place], MADE
        if again.output is not None and again.is_top(self.coords):
            width = self.trace.hidden.shape[-1]
            return again.output[..., self.coords.get("direction", 0) * width + self.place], "recorded"
        if "step" not in again.axes:
            shown = again.last if again.last is not None else again.hidden[0] if again.hidden is not None else None
            if shown is not None:
                return shown[:, None, self.place], "recorded"
        return self.trace.hidden[..., self.place], MADE


def record_units(runner: Runner, neurons: Neurons, seen: Seen, wanted: frozenset[str]) -> Call:
    """One call of a recurrent layer, for these units.

    What the last layer gives is recorded; its gates, and all of the inner layers, are run again.
    """
    view = _View(runner, neurons, seen, rerun(runner, neurons.layer, seen))
    units = [_Unit(view.again, neurons, number) for number in neurons.numbers]
    labels = labels_of(neurons.population)
    asked = neurons.fixed.get("gate")
    gates = labels if asked is None else labels[asked : asked + 1]
    output, said, last = view.outputs(units, "" if asked is None else labels[asked])
    inputs, input_axes = view.inputs(units) if "inputs" in wanted else ({}, ())
    values = {
        "inputs": inputs,
        "pre_activation": view.stacked([unit.pre_activation(gates) for unit in units]),
        "output": output,
    }
    lead, per_gate = view.lead, ("gate",) if len(gates) > 1 else ()
    axes = {"inputs": input_axes, "pre_activation": (*lead, *per_gate), "output": last}
    first = all(unit.coords.get("layer", 0) == 0 for unit in units) and not units[0].projection
    read = (f"{name}: {'recorded' if name == 'in' and first else MADE}" for name in inputs)
    source = {"inputs": "; ".join(read), "pre_activation": MADE, "output": said}
    kept = [name for name in PARTS if name in wanted]
    return Call(
        **{name: values[name] for name in kept},
        axes={name: axes[name] for name in kept},
        source={name: source[name] for name in kept},
        gates={name: view.stacked([unit.gate(name) for unit in units]) for name in labels},
        cell=view.stacked([unit.cell for unit in units]) if len(labels) == 4 else None,
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
    def lead(self) -> tuple[str, ...]:
        """The names of the axes before any feature."""
        axes = tuple(name for name in self.again.axes if name != "step" or not self.neurons.position)
        return axes if self.neurons.single else ("neuron", *axes)

    def stacked(self, values: Sequence[Floats]) -> Any:
        """Values (batch, step, ...) of each unit, one behind the other if several were selected."""
        shown = [self.again.at(self.again.native(value), self.neurons) for value in values]
        return self._given(shown[0] if self.neurons.single else np.stack(shown))

    def outputs(self, units: Sequence[_Unit], gate: str) -> tuple[Any, str, tuple[str, ...]]:
        """What they gave, where it is from, and its axes: of the last step alone where only that was returned."""
        shown = self.again.last
        if shown is not None and "step" in self.again.axes and not gate and not self.neurons.position:
            rows = [shown[:, unit.place].reshape(self.again.form.lead) for unit in units]
            axes = tuple(name for name in self.lead if name != "step")
            return self._given(rows[0] if self.neurons.single else np.stack(rows)), f"recorded {LAST}", axes
        found = [unit.output(gate) for unit in units]
        return self.stacked([values for values, _ in found]), _joined(said for _, said in found), self.lead

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

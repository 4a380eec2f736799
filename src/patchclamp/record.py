"""Read what enters and leaves neurons while the network runs on real data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .capture import Capture, Seen, place, run
from .errors import KindError, RunError
from .layout import Layout, fit
from .model import LayerInfo, Model, Neurons, Runner
from .stack import Rerun, rerun

__all__ = ["Call", "Record", "record"]

PARTS = ("inputs", "pre_activation", "output")


@dataclass(frozen=True)
class Call:
    """One run of one layer. Values are the framework's own arrays, copied; `axes` names the axes of each.

    inputs          what the neuron reads: (batch, *at, in), for a conv neuron at a position the patch (batch, in, *k)
    pre_activation  the weighted sum with bias
    output          what left the layer
    gates, cell     for recurrent units: each gate by name, and the cell state
    source          for each value "recorded", or how it was made from what was recorded
    """

    inputs: Any = None
    pre_activation: Any = None
    output: Any = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    cell: Any = None


@dataclass(frozen=True)
class Record:
    """What was recorded at one address: one `Call` for each time the layer ran.

    A layer that ran once (nearly all do) is read directly: `.output`. One that ran more often is read by call.
    """

    address: str
    calls: tuple[Call, ...]

    @property
    def call(self) -> Call:
        if len(self.calls) != 1:
            raise RunError(
                f"{self.address} ran {len(self.calls)} times on this input", "read .calls[0], .calls[1], ..."
            )
        return self.calls[0]

    @property
    def inputs(self) -> Any:
        return self.call.inputs

    @property
    def pre_activation(self) -> Any:
        return self.call.pre_activation

    @property
    def output(self) -> Any:
        return self.call.output

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        return self.call.axes

    @property
    def source(self) -> Mapping[str, str]:
        return self.call.source

    @property
    def gates(self) -> Mapping[str, Any]:
        return self.call.gates

    @property
    def cell(self) -> Any:
        return self.call.cell


Target = LayerInfo | Neurons


def record(model: Model, targets: Mapping[str, Target], x: Any, keep: Iterable[str] = PARTS) -> dict[str, Record]:
    """Run once on `x` and record every target (address -> layer or neurons).

    `keep` says which of "inputs", "pre_activation", "output" to copy. Raises RunError when the network cannot run.
    """
    wanted = frozenset(keep)
    if unknown := wanted - set(PARTS):
        raise RunError(f"there is no part {sorted(unknown)[0]!r} to keep", f"keep any of {', '.join(PARTS)}")
    copied = frozenset({"inputs"} & wanted | ({"output"} if wanted & {"output", "pre_activation"} else set()))
    captures = {text: _capture(model.runner, target, copied) for text, target in targets.items()}
    _run_grouped(model, captures, x)
    return {text: _record(model.runner, text, targets[text], capture, wanted) for text, capture in captures.items()}


def _capture(runner: Runner, target: Target, keep: frozenset[str]) -> Capture:
    if isinstance(target, LayerInfo):
        return Capture(runner, target, keep=keep)
    family = target.layer.kind.family if target.layer.kind else ""
    keep = frozenset({"inputs", "output"}) if family == "recurrent" or "inputs" in keep or family == "prelu" else keep
    return Capture(runner, target.layer, target, keep)


@dataclass
class _Several:
    """A probe that hands what it meets to several captures on the same layer."""

    captures: list[Capture]

    @property
    def calls(self) -> list[Seen]:
        return self.captures[0].calls

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        for capture in self.captures:
            capture.enter(inputs, config)

    def leave(self, output: Any) -> None:
        for capture in self.captures:
            capture.leave(output)


def _run_grouped(model: Model, captures: Mapping[str, Capture], x: Any) -> None:
    by_layer: dict[str, _Several] = {}
    for capture in captures.values():
        by_layer.setdefault(capture.layer.name, _Several([])).captures.append(capture)
    run(model, by_layer, x)


def _record(runner: Runner, text: str, target: Target, capture: Capture, wanted: frozenset[str]) -> Record:
    if isinstance(target, LayerInfo):
        return Record(text, tuple(_whole(seen, wanted) for seen in capture.calls))
    if capture.recurrent:
        return Record(text, tuple(_recurrent(runner, target, seen) for seen in capture.calls))
    return Record(text, tuple(_call(target, seen, wanted) for seen in capture.calls))


def _whole(seen: Seen, wanted: frozenset[str]) -> Call:
    """A layer as a whole: what it was given and what it returned, in the framework's own form."""
    parts = {"inputs": _main_input(seen), "output": seen.output}
    source = {name: "recorded" for name in parts if name in wanted}
    return Call(**{name: parts[name] for name in source}, source=source)


def _main_input(seen: Seen) -> Any:
    """The one input; several are a dict by argument name."""
    arrays = {name: item for name, item in seen.inputs.items() if hasattr(item, "shape")}
    values = arrays or seen.inputs
    return next(iter(values.values())) if len(values) == 1 else dict(values)


def _call(neurons: Neurons, seen: Seen, wanted: frozenset[str]) -> Call:
    assert seen.frame is not None and neurons.layer.kind is not None
    inputs = _main_input(seen) if "inputs" in wanted else None
    before = _main_input(seen) if neurons.layer.kind.family == "prelu" else seen.output
    axes = {"output": _output_axes(neurons, seen.frame)}
    axes["pre_activation"] = axes["output"]
    if seen.in_frame is not None and "inputs" in wanted:
        axes["inputs"] = _input_axes(neurons, seen.in_frame)
    return Call(
        inputs=inputs,
        pre_activation=before if "pre_activation" in wanted else None,
        output=seen.output if "output" in wanted else None,
        axes={name: axes[name] for name in PARTS if name in axes and name in wanted},
        source={name: "recorded" for name in PARTS if name in wanted},
    )


def _output_axes(neurons: Neurons, frame: Layout) -> tuple[str, ...]:
    own = {axis.name for axis in neurons.population.axes} & set(frame.sizes)
    at = place(neurons.layer, frame, neurons.position)
    if neurons.whole and not neurons.single:
        return frame.remaining(at)
    rest = frame.remaining({**at, **dict.fromkeys(own, 0)})
    return rest if neurons.single or not own else ("neuron", *rest)


def _input_axes(neurons: Neurons, frame: Layout) -> tuple[str, ...]:
    kind = neurons.layer.kind
    assert kind is not None
    own = {axis.name for axis in neurons.population.axes} & set(frame.sizes)
    conv = kind.family == "conv"
    if conv and neurons.position:
        taps = tuple(f"k{i}" for i in range(len(neurons.position)))
        return (*(name for name in frame.sizes if name == "batch"), "in", *taps)
    at = {} if conv else place(neurons.layer, frame, neurons.position)
    if neurons.whole and not neurons.single:
        return frame.remaining(at)
    return frame.remaining({**at, **dict.fromkeys(own, 0)})


def _recurrent(runner: Runner, neurons: Neurons, seen: Seen) -> Call:
    """Units step by step. The output of the last layer is recorded; gates and inner layers are run again."""
    if not neurons.single:
        raise KindError("recurrent units are recorded one at a time", "record each: [n.record(x) for n in selection]")
    again = rerun(runner, neurons.layer, seen)
    number = neurons.numbers[0]
    trace, unit = again.trace(neurons, number)
    gate = neurons.fixed.get("gate")
    template = next(item for item in seen.inputs.values() if hasattr(item, "shape"))

    def native(values: Any) -> Any:
        return runner.like(np.ascontiguousarray(_at(again, again.native(values), neurons)), template)

    labels = next((facet.labels for facet in neurons.population.facets if facet.name == "gate"), ())
    lead = tuple(name for name in again.axes if name != "step" or not neurons.position)
    made = "recomputed from the recorded inputs (the fused operation hides it)"
    projection = neurons.population.name == "proj"
    pre = trace.pre_activation[..., unit] if not projection else trace.hidden[..., unit]
    output, source = _output(again, neurons, trace.hidden, unit, made)
    if gate is not None:
        pre, output, source = pre[..., gate], trace.gates[..., gate, unit], made
    elif len(labels) == 1:
        pre = pre[..., 0]
    per_gate = gate is None and len(labels) > 1 and not projection
    return Call(
        inputs={"in": native(trace.inputs), "from": native(trace.previous)},
        pre_activation=native(pre),
        output=native(output),
        axes={"inputs": (*lead, "in"), "pre_activation": (*lead, "gate") if per_gate else lead, "output": lead},
        source={"inputs": "in: recorded; from: " + made, "pre_activation": made, "output": source},
        gates={} if projection else {label: native(trace.gates[..., i, unit]) for i, label in enumerate(labels)},
        cell=native(trace.cell[..., unit]) if len(labels) == 4 and not projection else None,
    )


def _at(again: Rerun, values: Any, neurons: Neurons) -> Any:
    if not neurons.position:
        return values
    if "step" not in again.axes:
        raise KindError(f"layer {neurons.layer.name!r} has no time steps to point at with @")
    axis = again.axes.index("step")
    at = place(neurons.layer, _steps(values.shape[axis]), neurons.position)
    return np.take(values, at["step"], axis=axis)


def _steps(length: int) -> Layout:
    return fit("step", (length,))


def _output(again: Rerun, neurons: Neurons, hidden: Any, unit: int, made: str) -> tuple[Any, str]:
    """(batch, step) of a unit: what the framework returned where it shows it."""
    number = neurons.numbers[0]
    projected = "proj" in neurons.layer.populations and neurons.population.name != "proj"
    if projected:
        return np.full(hidden.shape[:2], np.nan), "not shown: a unit's state is projected before it leaves"
    if again.output is None or not again.is_top(neurons, number):
        return hidden[..., unit], made
    direction = neurons.population.coords(number).get("direction", 0)
    values = again.output[..., direction * hidden.shape[-1] + unit]
    values = values if again.batched else values[None]
    return (values if again.batch_first or not again.batched else values.T), "recorded"

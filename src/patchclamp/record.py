"""Read what enters and leaves neurons while the network runs on real data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .capture import Capture, Seen, run
from .errors import RunError
from .gates import record_units
from .model import LayerInfo, Model, Neurons, Runner
from .recorded import PARTS, Call, Record

__all__ = ["PARTS", "Call", "Record", "record"]

Target: TypeAlias = LayerInfo | Neurons


def record(model: Model, targets: Mapping[str, Target], x: Any, keep: Iterable[str] = PARTS) -> dict[str, Record]:
    """Run once on `x` and record every target (address -> layer or neurons).

    `keep` says which of "inputs", "pre_activation", "output" to copy. Raises RunError when the network cannot run.
    """
    wanted = frozenset([keep] if isinstance(keep, str) else keep or ())
    if not wanted:
        raise RunError("there is nothing to keep", f"keep any of {', '.join(PARTS)}")
    if unknown := wanted - set(PARTS):
        raise RunError(f"there is no part {sorted(unknown)[0]!r} to keep", f"keep any of {', '.join(PARTS)}")
    copied = frozenset({"inputs"} & wanted | ({"output"} if wanted & {"output", "pre_activation"} else set()))
    captures = {text: _capture(model.runner, target, copied) for text, target in targets.items()}
    _run_grouped(model, captures, x)
    return {text: _record(model.runner, text, targets[text], capture, wanted) for text, capture in captures.items()}


def _capture(runner: Runner, target: Target, keep: frozenset[str]) -> Capture:
    if isinstance(target, LayerInfo):
        return Capture(runner, target, keep=keep)
    kind = target.layer.kind
    both = kind is not None and (kind.family == "recurrent" or kind.role == "activation")
    return Capture(runner, target.layer, target, frozenset({"inputs", "output"}) if both else keep)


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
        return Record(text, tuple(record_units(runner, target, seen, wanted) for seen in capture.calls))
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
    assert neurons.layer.kind is not None
    # What enters an activation is what the neuron before it gave: there is no weighted sum of its own.
    activation = neurons.layer.kind.role == "activation"
    before = _main_input(seen) if activation else seen.output
    axes = {**seen.axes, "pre_activation": seen.axes["inputs" if activation else "output"]}
    parts = {"inputs": _main_input(seen), "pre_activation": before, "output": seen.output}
    kept = [name for name in PARTS if name in wanted]
    return Call(
        **{name: parts[name] for name in kept},
        axes={name: axes[name] for name in kept},
        source=dict.fromkeys(kept, "recorded"),
    )

"""Read what enters and leaves neurons while the network runs on real data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .capture import Capture, Seen, run
from .errors import RunError
from .gates import record_units
from .heads import Slots
from .model import LayerInfo, Model, Neurons
from .protocols import Runner
from .recorded import PARTS, Call, Record
from .routed import record_routed
from .use import Use
from .views import source

__all__ = ["PARTS", "Call", "Record", "Several", "record"]

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
    held = {text: _held(model, target) for text, target in targets.items()}
    captures = {text: _capture(model, target, copied) for text, target in held.items()}
    _run_grouped(model, captures, x)
    return {text: _record(model.runner, text, held[text], capture, wanted) for text, capture in captures.items()}


def _held(model: Model, target: Target) -> Target:
    """Neurons under the name of the layer that runs them."""
    if isinstance(target, Neurons) and target.population.side == "out":
        return source(model.layers, target)
    return target


def _capture(model: Model, target: Target, keep: frozenset[str]) -> Capture | Slots:
    runner = model.runner
    if isinstance(target, LayerInfo):
        return Capture(runner, target, keep=keep)
    if target.population.side == "in":
        return Slots.of(model, target)
    kind = target.layer.kind
    both = kind is not None and (kind.family in ("recurrent", "experts") or kind.role == "activation")
    return Capture(runner, target.layer, target, frozenset({"inputs", "output"}) if both else keep)


@dataclass
class Several:
    """A probe that hands what it meets to several captures on the same layer."""

    captures: list[Capture | Slots]

    @property
    def calls(self) -> Sequence[Seen]:
        """Those of the capture that saw least: one that saw nothing is an error."""
        return min((capture.calls for capture in self.captures), key=len)

    @property
    def ran(self) -> bool:
        return self.captures[0].ran

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        for number, capture in enumerate(self.captures):
            try:
                capture.enter(inputs, config)
            except BaseException:
                for entered in self.captures[:number]:
                    entered.drop()
                raise

    def before(self, value: Any) -> None:
        for capture in self.captures:
            capture.before(value)

    def leave(self, output: Any) -> None:
        for capture in self.captures:
            capture.leave(output)

    def drop(self) -> None:
        for capture in self.captures:
            capture.drop()

    def used(self, use: Use, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None:
        for capture in self.captures:
            capture.used(use, inputs, config, output)


def _run_grouped(model: Model, captures: Mapping[str, Capture | Slots], x: Any) -> None:
    by_layer: dict[str, Several] = {}
    for capture in captures.values():
        by_layer.setdefault(capture.layer.name, Several([])).captures.append(capture)
    run(model, by_layer, x)


def _record(runner: Runner, text: str, target: Target, capture: Capture | Slots, wanted: frozenset[str]) -> Record:
    if isinstance(capture, Slots):
        assert isinstance(target, Neurons)
        return Record(text, tuple(_given(target, seen, wanted) for seen in capture.calls))
    if isinstance(target, LayerInfo):
        return Record(text, tuple(_whole(seen, wanted) for seen in capture.calls))
    if capture.hidden:
        again = record_routed if target.layer.kind and target.layer.kind.family == "experts" else record_units
        return Record(text, tuple(again(runner, target, seen, wanted) for seen in capture.calls))
    return Record(text, tuple(_call(target, seen, wanted) for seen in capture.calls))


def _given(target: Neurons, seen: Seen, wanted: frozenset[str]) -> Call:
    """What heads give: it has no weights of its own that it enters by, so there is nothing before it but itself."""
    values = seen.output[0] if target.single else seen.output
    axes = seen.axes["output"] if target.single else ("neuron", *seen.axes["output"])
    kept = [name for name in ("pre_activation", "output") if name in wanted]
    said = "recorded as the projection reads it"
    return Call(**dict.fromkeys(kept, values), axes=dict.fromkeys(kept, axes), source=dict.fromkeys(kept, said))


def _whole(seen: Seen, wanted: frozenset[str]) -> Call:
    """A layer as a whole: what it was given and what it returned, in the framework's own form."""
    parts = {"inputs": _main_input(seen), "output": seen.output}
    if seen.before is not None:
        parts["pre_activation"] = seen.before
    noted = f"recorded {seen.config['note']}" if "note" in seen.config else "recorded"
    source = {name: noted for name in parts if name in wanted}
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
    before = _main_input(seen) if activation else seen.output if seen.before is None else seen.before
    axes = {**seen.axes, "pre_activation": seen.axes["inputs" if activation else "output"]}
    parts = {"inputs": _main_input(seen), "pre_activation": before, "output": seen.output}
    kept = [name for name in PARTS if name in wanted]
    return Call(
        **{name: parts[name] for name in kept},
        axes={name: axes[name] for name in kept},
        source=dict.fromkeys(kept, _said(neurons, seen)),
    )


def _said(neurons: Neurons, seen: Seen) -> str:
    """ "recorded", and which of several neurons it is about where a call computes only some of them."""
    some = "" if seen.numbers is None else f" (neurons {', '.join(map(str, seen.numbers))})"
    words = seen.config.get("words")
    bare = words is not None and "bias" not in words and any(word.endswith("bias") for word in neurons.population.words)
    noted = f" {seen.config['note']}" if "note" in seen.config else ""
    return f"recorded{some}{' before the bias is added' if bare else ''}{noted}"

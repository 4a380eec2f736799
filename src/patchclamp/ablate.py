"""Silence neurons in a run: what the network gives when their value is zero, their mean, or that of another example.

Weights are not touched. The value may be replaced for every consumer, or along chosen paths only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .clamps import Met
from .errors import AddressError, KindError, RunError
from .locate import find
from .model import LayerInfo, Model, Neurons
from .parts.tree import Fields, Heading, Page, Text
from .protocols import Runner
from .read import address_text
from .shown import Shown
from .silenced import Rule, Silenced, constant, mean, resampled, shuffled
from .tape import Tape, around, same, weighted
from .views import source
from .wiring.table import refuse_stale

__all__ = ["Ablated", "To", "ablate", "ablated", "consumers"]

WORDS = ("zero", "mean", "resample")


@dataclass(frozen=True)
class To:
    """What a silenced neuron's value is.

    value  "zero"; "mean", over examples and positions; "resample", its value at another example of the batch; a number;
           or an array: one number a neuron, or values of their own shape, (neuron, *axes), of one neuron (*axes)
    data   what the mean is taken over, or whose values stand in (example by example), in place of the run's own data
    seed   which other example: every neuron takes the same one
    """

    value: Any = "zero"
    data: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.value is None or (isinstance(self.value, str) and self.value not in WORDS):
            raise RunError(
                f"neurons cannot be silenced to {self.value!r}", 'to="zero", "mean", "resample", a number or an array'
            )
        if self.data is not None and not self.measured:
            raise RunError(f"data= says what a mean or a resampled value is of, not {self.value!r}", "leave it out")

    @property
    def measured(self) -> bool:
        """Whether the value is one that neurons have on data."""
        return isinstance(self.value, str) and self.value != "zero"

    def rules(self, runner: Runner, held: Sequence[Silenced]) -> list[Rule]:
        """One rule for each, from what was seen of its neurons (`seen`, which may be nothing)."""
        if not self.measured:
            value = 0.0 if isinstance(self.value, str) else self.value
            return [constant(runner, value, one.neurons.single) for one in held]
        if self.value == "mean":
            return [mean(runner, one.seen, len(one.neurons.numbers)) for one in held]
        if self.data is not None:
            return [resampled(one.seen) for one in held]
        return [shuffled(runner, self.seed, one.seen) for one in held]


@dataclass(frozen=True, repr=False)
class Ablated(Shown):
    """What a network gave without some neurons.

    neurons    the addresses of what was silenced
    output     what the network returned, copied
    clean      what it returns with them
    changed    the weighted layers that read something else than in the clean run, in the order in which they ran
    at         the consumers for which alone the value was replaced; () for every one
    notes      what should be known: a chosen consumer that does not listen
    """

    neurons: tuple[str, ...]
    output: Any
    clean: Any
    changed: tuple[str, ...]
    to: str = "zero"
    at: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    largest: float = 0.0

    @property
    def difference(self) -> Any:
        """The output minus the clean one, in the network's own form; None for parts that are no arrays of numbers."""
        return _minus(self.output, self.clean)

    def page(self) -> Page:
        rows: list[tuple[str, object]] = [("to", self.to), ("at", ", ".join(self.at) or "every consumer")]
        rows.append(("largest change of the output", self.largest))
        rows.append(("layers that read something else", ", ".join(self.changed) or "none"))
        heading = Heading(f"without {', '.join(self.neurons)}")
        return Page((heading, Fields(tuple(rows)), *(Text(note) for note in self.notes)))


def ablate(
    model: Model, targets: Sequence[Neurons], x: Any, to: To, at: Sequence[LayerInfo | Neurons] | None = None
) -> Ablated:
    """Run the network on `x` with and without these neurons.

    With `at` only these layers, or neurons of layers, hear the value that was put in its place, each on its direct
    paths from the neuron, on which no other layer weighs; everything else hears the clean one. A layer that holds
    others stands for those. What reaches them directly is found by a run in which what every weighted layer gives is
    frozen to the clean run. With None every consumer hears it.

    Raises RunError where a value cannot be replaced or a layer did not run, KindError for neurons that have none in a
    run. The network is left as it was.
    """
    runner = _runner(model)
    held = _held(model, targets)
    chosen = _Chosen.of(model, at, held)
    layers = weighted(model)
    first = Tape(runner, layers, keeps=True)
    clean = _run(runner, held, first, x)
    if to.data is not None:
        held = [one.with_rule(None) for one in held]
        _run(runner, held, None, to.data)
    held = [one.with_rule(rule) for one, rule in zip(held, to.rules(runner, held), strict=True)]
    if chosen is None:
        last = Tape(runner, layers, against=first.read)
        output = _run(runner, held, last, x)
        notes: tuple[str, ...] = ()
    else:
        output, last, notes = _Paths(runner, layers, held, chosen, x).run(first, clean)
    named = tuple(address_text(model, one) for one in targets)
    changed = tuple(dict.fromkeys(layer for layer, _ in last.order if any(layer == met for met, _ in last.changed)))
    largest = _largest(runner, output, clean)
    return Ablated(named, output, clean, changed, _said(to), chosen.names if chosen else (), notes, largest)


@contextmanager
def ablated(model: Model, targets: Sequence[Neurons], to: To) -> Iterator[None]:
    """While this holds, every run of the network in this thread goes without these neurons, whoever runs it.

    A mean or a resampled value without `data` is of the very run it is in. Raises RunError at the end if the block ran
    the network nowhere, or not through their layer: then nothing was silenced.
    """
    runner = _runner(model)
    held = _held(model, targets)
    if to.data is not None:
        _run(runner, held, None, to.data)
    held = [one.with_rule(rule) for one, rule in zip(held, to.rules(runner, held), strict=True)]
    with runner.clamped(held):
        yield
    for one in held:
        one.refuse_silent()


@dataclass(frozen=True)
class _Chosen:
    """The consumers that alone hear a replaced value: layers, and of some of them the neurons."""

    names: tuple[str, ...]
    layers: frozenset[str]
    only: Mapping[str, Sequence[Silenced]]

    @classmethod
    def of(cls, model: Model, at: Sequence[LayerInfo | Neurons] | None, held: Sequence[Silenced]) -> _Chosen | None:
        """None where every consumer hears it. Raises KindError for what reads nothing, or cannot be told apart."""
        if at is None:
            return None
        if not at:
            raise AddressError("no consumer is chosen", "leave at= out: then every consumer hears the replaced value")
        for one in held:
            _refuse_inside(model, one)
        only: dict[str, list[Silenced]] = {}
        whole: set[str] = set()
        names = []
        for item in at:
            names.append(item.name if isinstance(item, LayerInfo) else address_text(model, item))
            layer = item if isinstance(item, LayerInfo) else source(model.layers, item).layer
            inside = _weighing(model, layer)
            if isinstance(item, LayerInfo) or (item.whole and len(layer.populations) == 1):
                whole |= inside
            else:
                only.setdefault(layer.name, []).append(_part(model, item))
        for name in whole:
            only.pop(name, None)
        for one in held:
            _refuse_own(one.neurons.layer, whole | set(only))
        return cls(tuple(names), frozenset(whole | set(only)), only)


def _weighing(model: Model, layer: LayerInfo) -> set[str]:
    """A layer that weighs; or those within it, of one that only holds such. Raises KindError where there are none."""
    if layer.name in (layers := weighted(model)):
        return {layer.name}
    within = {name for name in layers if name.startswith(f"{layer.name}.") or not layer.name}
    if within:
        return within
    if (outer := around(layers, layer)) is not None:
        raise KindError(f"{layer.name!r} is part of {outer!r}, which weighs as a whole", f"choose {outer!r}")
    raise KindError(
        f"{layer.name!r} ({layer.class_name.rpartition('.')[2]}) weighs nothing: it is no consumer",
        f"layers that weigh what they read: {', '.join(list(layers)[:8])}",
    )


def _part(model: Model, neurons: Neurons) -> Silenced:
    part = Silenced(model, neurons)
    kind = part.neurons.layer.kind
    if part.entering or (kind is not None and (kind.places or kind.family == "experts")):
        raise KindError(
            f"some neurons of {part.neurons.layer.name!r} alone cannot hear a replaced value: what they compute from "
            "it is inside one operation",
            "choose the whole layer",
        )
    if neurons.position:
        raise KindError("a consumer is a neuron at all of its positions", "leave the position out")
    return part


def _refuse_inside(model: Model, one: Silenced) -> None:
    """Paths begin at what a layer gives; of what is inside it they cannot be chosen."""
    kind = one.neurons.layer.kind
    stacked = kind is not None and kind.places and min(one.depths) < _deepest(one.neurons)
    outer = around(weighted(model), one.neurons.layer)
    inside = one.neurons.layer.name if stacked or (kind is not None and kind.family == "experts") else outer
    if inside is not None:
        raise KindError(
            f"the consumers of these neurons are inside {inside!r}, where they cannot be chosen",
            "leave at= out: then every consumer hears the replaced value",
        )


def _refuse_own(layer: LayerInfo, chosen: set[str]) -> None:
    """A recurrent stack reads its own units from step to step, within one call."""
    if layer.name in chosen and layer.kind is not None and layer.kind.places:
        what = f"{layer.name!r} hears its own units at its next step, inside one operation, where it cannot be chosen"
        raise KindError(what, "choose other consumers, or leave at= out")


def _deepest(neurons: Neurons) -> int:
    return max((axis.size - 1 for axis in neurons.population.axes if axis.name == "layer"), default=0)


@dataclass(frozen=True)
class _Paths:
    """Runs in which chosen consumers alone hear replaced values.

    What a chosen consumer hears may depend on what another one gave before it, so the pair of runs (what reaches them
    directly, what follows from it) is repeated until what they give stays the same: once for each that stands behind
    another.
    """

    runner: Runner
    layers: Mapping[str, LayerInfo]
    held: Sequence[Silenced]
    chosen: _Chosen
    x: Any

    def run(self, first: Tape, clean: Any) -> tuple[Any, Tape, tuple[str, ...]]:
        """The output, the last run, and what should be known."""
        self._refuse_silent(first)
        world, output, made = first, clean, dict[Met, Any]()
        heard: dict[Met, None] = {}
        while True:
            direct = Tape(self.runner, self.layers, against=world.read, frozen=world.gave, wanted=self.chosen.layers)
            _run(self.runner, self.held, direct, self.x)
            settled = list(direct.made) == list(made) and all(same(direct.made[met], made[met]) for met in made)
            if settled:
                break
            made, heard = direct.made, {**heard, **dict.fromkeys(direct.made)}
            world = Tape(self.runner, self.layers, keeps=True, against=first.read, frozen=made, only=self.chosen.only)
            output = _run(self.runner, (), world, self.x)
            if len(made) < 2:
                break
        last = replace(world, changed={**world.changed, **heard})
        return output, last, self._notes({layer for layer, _ in heard})

    def _refuse_silent(self, first: Tape) -> None:
        ran = {layer for layer, _ in first.order}
        for name in sorted(self.chosen.layers - ran):
            raise RunError(f"layer {name!r} did not run on this input", "its parent may use its weights directly")

    def _notes(self, heard: set[str]) -> tuple[str, ...]:
        deaf = [name for name in self.chosen.layers if name not in heard]
        return tuple(
            f"{name} does not hear these neurons directly on this input: nothing that it reads changed"
            for name in sorted(deaf)
        )


def consumers(model: Model, at: Any) -> list[LayerInfo | Neurons] | None:
    """What an address, or several, means as consumers: layers, or neurons, which may be held already; None for None."""
    if at is None:
        return None
    found: list[LayerInfo | Neurons] = []
    for item in [at] if isinstance(at, (str, Shown)) else at:
        if isinstance(item, str):
            found += _meant(model, item)
            continue
        held = next((h for h in (getattr(item, "info", None), getattr(item, "neurons", None)) if h is not None), item)
        if not isinstance(held, (LayerInfo, Neurons)):
            raise AddressError(f"{item!r} is no consumer", 'a layer or neurons of one: at=["fc1", "fc2[3]"]')
        found.append(held)
    return found


def _meant(model: Model, text: str) -> Sequence[LayerInfo | Neurons]:
    parsed = model.addresses.parse(text)
    plain = not parsed.steps and not parsed.position and not model.addresses.is_glob(parsed)
    return [model.layers[parsed.layer]] if plain else find(model, parsed)


class _Returned:
    """A probe on the network itself: a copy of what it returns."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.output: Any = None

    def enter(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None: ...

    def before(self, value: Any) -> None: ...

    def leave(self, output: Any) -> None:
        self.output = self.runner.copy(output)

    def drop(self) -> None: ...

    def used(self, use: Any, inputs: Mapping[str, Any], config: Mapping[str, Any], output: Any) -> None: ...


def _run(runner: Runner, held: Sequence[Silenced], tape: Tape | None, x: Any) -> Any:
    """One run of the network; gives a copy of what it returns. Raises RunError where some neurons were not met."""
    returned = _Returned(runner)
    for one in held:
        one.count = 0
    with runner.clamped(held, tape):
        runner.tap({"": returned}, x)
    for one in held:
        one.refuse_silent()
    return returned.output


def _runner(model: Model) -> Runner:
    if model.runner is None:
        raise RunError(f"{model.source} is a file: it holds weights but cannot run", "open the live network instead")
    if getattr(model.runner, "clamped", None) is None:
        raise RunError(
            f"neurons cannot be silenced in runs of {model.framework} networks",
            "edit their weights instead: with net.edit() as edit: edit[...].zero()",
        )
    refuse_stale(model)
    runner: Runner = model.runner
    return runner


def _held(model: Model, targets: Sequence[Neurons]) -> list[Silenced]:
    if not targets:
        raise AddressError("no neuron is chosen", 'net.ablated("conv1[3]")')
    return [Silenced(model, neurons) for neurons in targets]


def _said(to: To) -> str:
    if not isinstance(to.value, str):
        return str(to.value) if isinstance(to.value, (int, float)) else f"values of shape {tuple(np.shape(to.value))}"
    if to.value == "resample":
        return "the value on other data" if to.data is not None else f"the value at another example (seed {to.seed})"
    return "the mean on other data" if to.data is not None else to.value


def _minus(a: Any, b: Any) -> Any:
    """The difference of outputs in their form."""
    if isinstance(a, Mapping):
        return {name: _minus(a[name], b[name]) for name in a if name in b}
    if isinstance(a, (tuple, list)):
        parts = [_minus(*pair) for pair in zip(a, b, strict=False)]
        return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
    if getattr(a, "shape", None) is None or getattr(b, "shape", None) is None:
        return None
    if tuple(a.shape) != tuple(b.shape):
        return None
    return a ^ b if str(a.dtype).endswith("bool") else a - b


def _largest(runner: Runner, a: Any, b: Any) -> float:
    """The largest size of a difference of outputs."""

    def sizes(value: Any) -> Iterator[float]:
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, (tuple, list)):
            for item in value:
                yield from sizes(item)
        elif value is not None and 0 not in value.shape:
            yield float(abs(runner.numpy(value)).max())

    return max(sizes(_minus(a, b)), default=0.0)

"""Experts in packed arrays, as recorded: run again token by token, since no implementation shows their hidden neurons.

The whole output of the layer is compared with what the arrays, the recorded tokens and the recorded routing give, so
what is shown of the hidden neurons has been checked, whichever way the model runs its experts (a loop, one batched or
grouped product).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .capture import Seen, bounded
from .compare import Compared, typed
from .errors import KindError, RunError
from .formulas import Floats, Precision
from .formulas.case import Ints
from .formulas.experts import Curve, Expert, Sum, Trace, through
from .model import LayerInfo, Neurons, Placed, Population
from .protocols import Runner
from .recorded import PARTS, Call

__all__ = ["compare_routed", "record_routed", "unsent"]

MADE = "recomputed from the recorded tokens and routing; the layer's whole output agrees (NaN: not sent to the expert)"
AGREE = 8.0
"""How many standard deviations of rounding the layer's output may be off, as in `verify`."""

MANY = 8
"""More experts than this are counted in an error, not listed."""


@dataclass(frozen=True)
class _Routing:
    """Which expert each token is sent to, (token, slot), with the router's weights; past the last: to none."""

    experts: Ints
    shares: Floats

    def of(self, expert: int) -> tuple[Ints, Ints]:
        """The tokens that an expert is sent, and in which slot each has it."""
        tokens, slots = np.nonzero(self.experts == expert)
        return tokens, slots


@dataclass(frozen=True)
class _Rerun:
    """One call of a layer, run again: the traces of the experts that were asked for, and the output beside itself.

    x (token, in), output and again (token, out); tokens that no such expert was sent are left out of `again` as NaN.
    """

    x: Floats
    traces: Mapping[int, Trace]
    output: Floats
    again: Floats
    error: Floats
    precise: Precision


def _experts(neurons: Neurons) -> dict[int, list[int]]:
    """The neurons by the expert that they are in."""
    found: dict[int, list[int]] = {}
    for number in neurons.numbers:
        found.setdefault(neurons.population.coords(number).get("expert", 0), []).append(number)
    return found


def _entered(runner: Runner, layer: LayerInfo, seen: Seen) -> tuple[Floats, _Routing]:
    """The tokens (token, in) and where they were sent."""
    given = [runner.numpy(item) for item in seen.inputs.values() if hasattr(item, "shape")]
    x = np.asarray(given[0], dtype=np.float64)
    x = x.reshape(-1, x.shape[-1])
    if layer.config.get("blocks"):
        # Each expert has its own block of tokens, scaled by the router before: zero if they are not for it.
        count = _count(layer.populations["down"])
        blocks = np.repeat(np.arange(count), len(x) // count)
        blocks[~np.any(x, axis=1)] = count
        return x, _Routing(blocks[:, None], np.ones((len(x), 1)))
    if len(given) < 3:
        raise KindError(f"{layer.name!r} was not told where its tokens go", "give it tokens, experts and weights")
    experts = np.asarray(given[1], dtype=np.intp).reshape(len(x), -1)
    return x, _Routing(experts, np.asarray(given[2], dtype=np.float64).reshape(len(x), -1))


def _count(cells: Population) -> int:
    return next(axis.size for axis in cells.axes if axis.name == "expert")


def _rerun(runner: Runner, layer: LayerInfo, seen: Seen, wanted: Iterable[int]) -> _Rerun:
    """Run the tokens of some experts again, through every expert that they were sent to."""
    x, routing = _entered(runner, layer, seen)
    count = _count(layer.populations["down"])
    output = np.asarray(runner.numpy(seen.output), dtype=np.float64).reshape(len(x), -1)
    stored = (array for cells in layer.populations.values() for array in typed(cells))
    precise: Precision = runner.precision([next(iter(seen.inputs.values())), *stored], seen.output)
    wanted = [expert for expert in dict.fromkeys(wanted) if expert < count]
    met: NDArray[np.bool_] = np.any(np.isin(routing.experts, wanted), axis=1)
    total, traces = Sum(len(x), output.shape[1], precise), {}
    curves = _curves(runner, layer)
    for expert in np.unique(routing.experts[met]):
        tokens, slots = routing.of(int(expert))
        tokens, slots = tokens[met[tokens]], slots[met[tokens]]
        share = routing.shares[tokens, slots]
        if expert < count:
            trace = through(_weights(runner, layer, int(expert)), x, tokens, curves, precise)
            total.add(tokens, trace.given, trace.variance, share)
            if expert in wanted:
                traces[int(expert)] = trace
        elif layer.config.get("identity"):
            total.add(tokens, x[tokens], np.zeros_like(x[tokens]), share)
    again = np.where(met[:, None], total.values, np.nan)
    return _Rerun(x, traces, output, again, total.error, precise)


def _curves(runner: Runner, layer: LayerInfo) -> tuple[Curve, Curve | None]:
    """The layer's own gate, in float64, and the norm of what an expert gives where there is one."""
    halves = _halves(layer.populations[""])
    own, act, norm = (str(layer.config.get(word, "")) for word in ("gate", "act", "norm"))

    def gate(values: Floats) -> Floats:
        found = runner.apply(layer.name, own, values) if own else None
        if found is None:
            first = runner.apply(layer.name, act, values[:, halves[0]])
            if first is None:
                raise KindError(f"{layer.name!r} has no {own or act}, so its hidden neurons cannot be recomputed")
            found = first * values[:, halves[1]] if len(halves) > 1 else first
        return np.asarray(found, dtype=np.float64)

    return gate, (lambda values: np.asarray(runner.apply(layer.name, norm, values))) if norm else None


def _weights(runner: Runner, layer: LayerInfo, expert: int) -> Expert:
    main, down = layer.populations[""], layer.populations["down"]
    up, up_bias = _stacked(runner, main, expert)
    out, out_bias = _stacked(runner, down, expert)
    return Expert(up, up_bias, out, out_bias, _halves(main))


def _stacked(runner: Runner, cells: Population, expert: int) -> tuple[Floats, Floats | None]:
    """The weights (row, in) and biases (row,) of one expert; of several arrays one below the other."""
    weights, biases = [], []
    for placed in cells.placed:
        values = np.asarray(runner.numpy(placed.array.read(placed.layout.key({"expert": expert}))), dtype=np.float64)
        names = placed.layout.remaining({"expert": expert})
        if "in" in names:
            weights.append(np.moveaxis(values, names.index("in"), -1))
        else:
            biases.append(values)
    return np.concatenate(weights), np.concatenate(biases) if biases else None


def _halves(cells: Population) -> list[Ints]:
    """The rows of one expert that are its neurons' gates, ups, ... in the order of the neurons."""
    weights = [placed for placed in cells.placed if "in" in placed.layout.sizes]
    if len(weights) > 1:
        width = weights[0].layout.sizes["neuron"]
        return [np.arange(width) + i * width for i in range(len(weights))]
    sizes = weights[0].layout.sizes
    rows = np.arange(sizes.get("half", 1) * sizes["neuron"])
    return [rows[_row_index(weights[0], {"expert": 0, "half": half})] for half in range(sizes.get("half", 1))]


def _row_index(placed: Placed, coords: Mapping[str, int]) -> Any:
    """What a coordinate takes of the stored axis that holds the neurons."""
    key = placed.layout.key({name: value for name, value in coords.items() if name in placed.layout.sizes})
    held = (any(axis.name == "neuron" for axis in term.axes()) for term in placed.layout.terms)
    return next(index for index, holds in zip(key, held, strict=True) if holds)


def compare_routed(runner: Runner, neurons: Neurons, seen: Seen) -> list[Compared]:
    """What the layer gave for the tokens of each expert beside what its arrays give; nothing for one that had none.

    A hidden neuron is seen in every output of its tokens, mixed with the others of its expert: one of them stands for
    all. A neuron of `down` is one output.
    """
    groups = _experts(neurons)
    again = _rerun(runner, neurons.layer, seen, groups)
    names = () if neurons.position else ("token",)
    idle = [expert for expert in groups if expert not in again.traces]
    many = f"{len(idle)} of {len(groups)} experts" if len(idle) > MANY else f"expert {', '.join(map(str, idle))}"
    note = f"{many} had no token" if idle else ""
    found = []
    for expert, numbers in groups.items():
        if expert not in again.traces:
            continue
        parts = [_of_tokens(part, again.traces[expert].tokens) for part in (again.output, again.again, again.error)]
        if neurons.population.name == "down":
            features = [neurons.population.coords(number)["neuron"] for number in numbers]
            parts = [part[:, features].T for part in parts]
        else:
            numbers, parts = numbers[:1], [part[None] for part in parts]
        if neurons.position:
            parts = [part[:, _token(neurons, again)] for part in parts]
        axes = names if neurons.population.name == "down" else (*names, "feature")
        recorded, recomputed, error = parts
        if not np.isnan(recomputed).all():
            error = np.nan_to_num(error)
            found.append(Compared(numbers, recorded, recomputed, error, np.zeros_like(error), axes, note=note))
    return found


def _of_tokens(values: Floats, tokens: Ints) -> Floats:
    """Values (token, ...) with NaN for the tokens that are not among these."""
    shown = np.full_like(values, np.nan)
    shown[tokens] = values[tokens]
    return shown


def _token(neurons: Neurons, again: _Rerun) -> int:
    return bounded(neurons.layer, (len(again.x),), neurons.position)[0]


def unsent(runner: Runner, neurons: Neurons, calls: Sequence[Seen]) -> RunError:
    """The error for experts that no token was sent to: their weights took no part in the run."""
    sent: set[int] = set()
    for seen in calls:
        sent.update(int(expert) for expert in np.unique(_entered(runner, neurons.layer, seen)[1].experts))
    count = _count(neurons.layer.populations["down"])
    which = sorted(_experts(neurons))
    named = f"expert{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"
    shown = named if len(which) <= MANY else f"any of {len(which)} experts"
    what = f"token {neurons.position[0]}" if neurons.position and set(which) & sent else "no token of this input"
    verb = "is not" if what.startswith("token") else "is"
    reached = [str(expert) for expert in sorted(sent) if expert < count]
    return RunError(
        f"{what} {verb} sent to {shown} of {neurons.layer.name!r}, so there is nothing to compare",
        f"experts that are sent tokens here: {', '.join(reached) or 'none'}",
    )


def record_routed(runner: Runner, neurons: Neurons, seen: Seen, wanted: frozenset[str]) -> Call:
    """One call of packed experts, for these neurons: NaN for every token that was not sent to their expert.

    Raises RunError where the layer's output is not what its arrays give: then its hidden neurons are not known.
    """
    groups = _experts(neurons)
    view = _View(runner, neurons, seen, _rerun(runner, neurons.layer, seen, groups))
    view.check()
    values, axes = view.values()
    source = {name: "recorded" if name == "inputs" and not view.down else MADE for name in PARTS}
    kept = [name for name in PARTS if name in wanted]
    return Call(
        **{name: view.given(values[name]) for name in kept},
        axes={name: axes[name] for name in kept},
        source={name: source[name] for name in kept},
        gates={name: view.given(part) for name, part in view.halves().items()},
    )


@dataclass(frozen=True)
class _View:
    """How values of a rerun are handed out: (neuron, token, ...), at the token asked for, in the framework's type."""

    runner: Runner
    neurons: Neurons
    seen: Seen
    again: _Rerun

    @property
    def down(self) -> bool:
        return self.neurons.population.name == "down"

    @property
    def labels(self) -> tuple[str, ...]:
        """What the halves of a hidden neuron are called."""
        facets = self.neurons.layer.populations[""].facets
        said = next((facet.labels for facet in facets if facet.name == "half"), ())
        return said or tuple(self.neurons.layer.config.get("halves", ()))

    @property
    def half(self) -> int | None:
        """The one half that was asked for."""
        name = self.neurons.population.name
        return self.labels.index(name) if name in self.labels else self.neurons.fixed.get("half")

    def check(self) -> None:
        again = self.again
        off = abs(again.output - again.again) > AGREE * again.error + again.precise.result * abs(again.again)
        if off.any() and not np.allclose(again.output[off], again.again[off], rtol=0, atol=4 * again.precise.least):
            raise RunError(
                f"{self.neurons.layer.name!r} gave something else than its arrays do, so its neurons are unknown",
                "verify shows how far it is off; a hook or a patched forward can do that",
            )

    def _spread(self, expert: int, values: Floats) -> Floats:
        """Values (token of the expert, ...) over all tokens, NaN for the others."""
        full = np.full((len(self.again.x), *values.shape[1:]), np.nan)
        if expert in self.again.traces:
            full[self.again.traces[expert].tokens] = values
        return (
            full[bounded(self.neurons.layer, (len(full),), self.neurons.position)[0]] if self.neurons.position else full
        )

    def _each(self, pick: Any) -> Floats:
        """One row a neuron: what `pick` takes of the trace of its expert, for its number there."""
        rows = []
        for number in self.neurons.numbers:
            coords = self.neurons.population.coords(number)
            trace = self.again.traces.get(coords.get("expert", 0))
            values = np.zeros((0,)) if trace is None else pick(trace, coords["neuron"])
            rows.append(self._spread(coords.get("expert", 0), values))
        return rows[0] if self.neurons.single else np.stack(rows)

    def halves(self) -> dict[str, Floats]:
        if self.down or len(self.labels) < 2:
            return {}
        rows = _halves(self.neurons.layer.populations[""])
        return {
            name: self._each(lambda trace, n, rows=rows[half]: trace.pre_activation[:, rows[n]])
            for half, name in enumerate(self.labels)
        }

    def values(self) -> tuple[dict[str, Floats], dict[str, tuple[str, ...]]]:
        lead = (*(() if self.neurons.single else ("neuron",)), *(() if self.neurons.position else ("token",)))
        axes = dict.fromkeys(PARTS, lead)
        inputs, axes["inputs"] = self._inputs()
        if self.down:
            given = self._each(lambda trace, n: trace.given[:, n])
            return {"inputs": inputs, "pre_activation": given, "output": given}, axes
        halves = self.halves()
        if self.half is not None:
            chosen = halves[self.labels[self.half]]
            return {"inputs": inputs, "pre_activation": chosen, "output": chosen}, axes
        output = self._each(lambda trace, n: trace.hidden[:, n])
        if halves:
            before = np.stack(list(halves.values()), axis=-1)
            axes["pre_activation"] = (*lead, "half")
        else:
            before = self._each(lambda trace, n: trace.pre_activation[:, n])
        return {"inputs": inputs, "pre_activation": before, "output": output}, axes

    def _inputs(self) -> tuple[Floats, tuple[str, ...]]:
        """What they read: the tokens, or for outputs the hidden neurons of their expert."""
        token = () if self.neurons.position else ("token",)
        if not self.down:
            x = self.again.x
            return (x[_token(self.neurons, self.again)] if self.neurons.position else x), (*token, "in")
        width = _halves(self.neurons.layer.populations[""])[0].size
        read = {expert: self._spread(expert, trace.hidden) for expert, trace in self.again.traces.items()}
        none = self._spread(-1, np.zeros((0, width)))
        each = [read.get(expert, none) for expert in _experts(self.neurons)]
        if len(each) == 1:
            return each[0], (*token, "in")
        order = (self.neurons.population.coords(number).get("expert", 0) for number in self.neurons.numbers)
        return np.stack([read.get(expert, none) for expert in order]), ("neuron", *token, "in")

    def given(self, values: Floats) -> Any:
        return self.runner.like(np.array(values, order="C"), next(iter(self.seen.inputs.values())))

"""Is the recorded output really what the arrays and the inputs give? Recomputed in float64, with a derived tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .capture import Seen, place
from .errors import KindError
from .formulas import FORMULAS, Case, Floats
from .formulas.terms import TERMS
from .frames import positions
from .layout import Layout
from .locate import address_of
from .model import Model, Neurons, Runner
from .stack import rerun

__all__ = ["FACTOR", "Check", "verify"]

FACTOR = 8.0
"""How many standard scales of rounding error are allowed: sqrt(n) u sum|w x| is one (see formulas.rounding)."""


@dataclass(frozen=True)
class Check:
    """The outcome of `verify`: the place where recorded and recomputed differ most, in units of the tolerance.

    `ok` is whether every value compared is within its tolerance; a Check is true when it is.
    `ulp` is the difference in units in the last place of the recorded value's type.
    """

    address: str
    ok: bool
    compared: int
    where: Mapping[str, int]
    recorded: float
    recomputed: float
    difference: float
    ulp: float
    tolerance: float
    reason: str
    cause: str = ""
    failed: tuple[str, ...] = ()
    weights: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    inputs: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    bias: float = 0.0

    def __bool__(self) -> bool:
        return self.ok

    def sum(self, most: int = 4) -> str:
        """The weighted sum written out: its first products, how many more, the bias and the result."""
        if not self.weights.size:
            return f"{self.recomputed:.9g}"
        pairs = zip(self.weights.ravel()[:most], self.inputs.ravel()[:most], strict=True)
        shown = " + ".join(f"({w:.6g})({x:.6g})" for w, x in pairs)
        left = self.weights.size - most
        more = f" + ... {left} more" if left > 0 else ""
        return f"{shown}{more} + bias {self.bias:.6g} = {self.recomputed:.9g}"

    def __str__(self) -> str:
        verdict = "holds" if self.ok else "DOES NOT HOLD"
        at = ", ".join(f"{name} {number}" for name, number in self.where.items())
        lines = [
            f"{self.address}: {verdict} ({self.compared:,} value{'s' if self.compared != 1 else ''} compared"
            + (f"; shown: {at})" if at else ")"),
            f"  recorded    {self.recorded!r}",
            f"  recomputed  {self.recomputed!r}",
            f"  difference  {self.difference:.3g} ({self.ulp:.3g} ulp), tolerance {self.tolerance:.3g}",
            f"  tolerance   {self.reason}",
        ]
        if self.cause:
            lines.append(f"  cause       {self.cause}")
        if self.failed:
            more = f" and {len(self.failed) - 5} more" if len(self.failed) > 5 else ""
            lines.append(f"  failed      {', '.join(self.failed[:5])}{more}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Compared:
    """Recorded and recomputed values (neuron, *rest) of one call, the error scale, and what the rest axes are called."""

    recorded: Floats
    recomputed: Floats
    error: Floats
    axes: tuple[str, ...]
    origin: tuple[int, ...] = ()
    case: Case | None = None


def verify(model: Model, neurons: Neurons, calls: Sequence[Seen]) -> Check:
    """Recompute what was recorded (whole inputs, the output of `neurons`) and compare.

    Raises KindError for a kind that has no formula.
    """
    kind = neurons.layer.kind
    assert kind is not None and model.runner is not None
    if kind.family != "recurrent" and kind.family not in FORMULAS:
        raise KindError(
            f"{kind.name} has no formula, so its output cannot be recomputed",
            f'register it with one: patchclamp.register({kind.name!r}, formula="linear", ...); there are {", ".join(FORMULAS)}',
        )
    compare = _compare_recurrent if kind.family == "recurrent" else _compare
    checks = [_check(model, neurons, seen, compare(model.runner, neurons, seen)) for seen in calls]
    worst = min(checks, key=lambda check: (check.ok, -_excess(check)))
    return worst if len(checks) == 1 else _merged(worst, checks)


def _excess(check: Check) -> float:
    return check.difference / check.tolerance if check.tolerance else check.difference


def _merged(worst: Check, checks: Sequence[Check]) -> Check:
    fields = {name: getattr(worst, name) for name in worst.__dataclass_fields__}
    fields["compared"] = sum(check.compared for check in checks)
    fields["failed"] = tuple(dict.fromkeys(name for check in checks for name in check.failed))
    return Check(**fields)


def _compare(runner: Runner, neurons: Neurons, seen: Seen) -> _Compared:
    kind, frame = neurons.layer.kind, seen.frame
    assert kind is not None and frame is not None
    recorded = np.asarray(runner.numpy(seen.output), dtype=np.float64)
    recorded = _neurons_first(recorded, neurons, frame)
    case = _case(runner, neurons, seen, frame)
    answer = FORMULAS[kind.family](case)
    values, error = answer.values, answer.error
    at = place(neurons.layer, frame, neurons.position)
    if at and values.size != recorded.size:
        names = [name for name in frame.remaining({}) if name in frame.sizes and name not in _own(neurons)]
        index = (slice(None), *(at.get(name, slice(None)) for name in names))
        values, error = values[index], error[index]
    axes = tuple(name for name in frame.sizes if name not in _own(neurons) and name not in at)
    return _Compared(recorded, values.reshape(recorded.shape), error.reshape(recorded.shape), axes, case=case)


def _own(neurons: Neurons) -> set[str]:
    return {axis.name for axis in neurons.population.axes}


def _neurons_first(values: Floats, neurons: Neurons, frame: Layout) -> Floats:
    """What was captured, with the neuron axis first: one neuron gains it, several have it, a whole layer is cut."""
    if neurons.single or not _own(neurons) & set(frame.sizes):
        return values[None]
    if not neurons.whole:
        return values if len(neurons.numbers) > 1 else values.reshape(1, *values.shape[-len(frame.sizes) + 1 :])
    at = place(neurons.layer, frame, neurons.position)
    shape = tuple(length for length, left in zip(frame.shape, _left(frame, at), strict=True) if left)
    assert shape == values.shape
    rows = [_drop(frame.key({**_known(frame, neurons, n), **at}), frame.key(at)) for n in neurons.numbers]
    return np.stack([values[row] for row in rows])


def _left(frame: Layout, at: Mapping[str, int]) -> list[bool]:
    return [not isinstance(index, int) for index in frame.key(at)]


def _drop(key: tuple[int | slice, ...], done: tuple[int | slice, ...]) -> tuple[int | slice, ...]:
    """A key for an array that `done` has been applied to already."""
    return tuple(index for index, before in zip(key, done, strict=True) if not isinstance(before, int))


def _known(frame: Layout, neurons: Neurons, number: int) -> dict[str, int]:
    return {name: value for name, value in neurons.population.coords(number).items() if name in frame.sizes}


def _case(runner: Runner, neurons: Neurons, seen: Seen, frame: Layout) -> Case:
    roundoff, _ = _precision(runner, neurons, seen)
    config = dict(seen.config)
    config["groups"] = next((axis.size for axis in neurons.population.axes if axis.name == "group"), 1)
    config["tail"] = (
        neurons.layer.sizes.get("neuron", ()) if neurons.layer.kind and "*" in neurons.layer.kind.neuron[0] else ()
    )

    def pick(values: Floats) -> Floats:
        values = np.asarray(values)
        if not _own(neurons) & set(frame.sizes):
            return values[None]
        return np.stack([values[frame.key(_known(frame, neurons, number))] for number in neurons.numbers])

    at = place(neurons.layer, frame, neurons.position)
    return Case(
        arrays=_arrays(runner, neurons),
        inputs={name: _number(runner, item) for name, item in seen.inputs.items()},
        coords=[neurons.population.coords(number) for number in neurons.numbers],
        config=config,
        extents=positions(frame),
        roundoff=roundoff,
        pick=pick,
        position=tuple(at.values()) if neurons.layer.kind and neurons.layer.kind.family == "conv" else (),
    )


def _number(runner: Runner, item: Any) -> Any:
    return runner.numpy(item) if hasattr(item, "shape") else item


def _arrays(runner: Runner, neurons: Neurons) -> dict[str, Floats]:
    """Every array of these neurons, neuron axis first: (neuron, *other axes of the line)."""
    arrays = {}
    for word in neurons.population.words:
        rows = []
        for number in neurons.numbers:
            coords = neurons.coords(number)
            placed = neurons.population.find(word, coords)
            if placed is not None:
                rows.append(runner.numpy(placed.array.read(placed.layout.key(coords))))
        if rows:
            arrays[word] = np.stack(rows)
    return arrays


def _precision(runner: Runner, neurons: Neurons, seen: Seen) -> tuple[float, str]:
    """The coarsest arithmetic of what entered, what left and what is stored."""
    found = [runner.precision(item) for item in seen.inputs.values() if hasattr(item, "dtype")]
    first = seen.output
    while isinstance(first, (tuple, list)):
        first = first[0]
    found.append(runner.precision(first))
    found += [runner.precision(placed.array.read()) for placed in neurons.population.placed]
    return max(found, key=lambda pair: pair[0])


def _check(model: Model, neurons: Neurons, seen: Seen, compared: _Compared) -> Check:
    assert model.runner is not None
    roundoff, arithmetic = _precision(model.runner, neurons, seen)
    recorded, recomputed = compared.recorded, compared.recomputed
    tolerance = FACTOR * compared.error + np.where(compared.error > 0, roundoff * abs(recomputed), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = abs(recorded - recomputed)
        same = (recorded == recomputed) | (np.isnan(recorded) & np.isnan(recomputed))
        difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
        good = same | (difference <= tolerance)
        excess = np.where(same, 0.0, np.where(tolerance > 0, difference / tolerance, np.inf))
    flat = int(np.argmax(excess)) if excess.size else 0
    spot = tuple(int(i) for i in np.unravel_index(flat, excess.shape))
    bad = [neurons.numbers[row] for row in range(len(good)) if not good[row].all()]
    weights, inputs, bias = _terms(neurons, compared, spot)
    text = model.addresses.text
    number = neurons.numbers[spot[0]]
    shown = (
        neurons if len(neurons.numbers) == 1 else Neurons(neurons.layer, neurons.population, (number,), neurons.fixed)
    )
    return Check(
        address=text(address_of(shown, number)),
        ok=bool(good.all()),
        compared=int(good.size),
        where=dict(zip(compared.axes, spot[1:], strict=False)),
        recorded=float(recorded[spot]),
        recomputed=float(recomputed[spot]),
        difference=float(difference[spot]),
        ulp=_ulp(float(recorded[spot]), float(difference[spot]), roundoff),
        tolerance=float(tolerance[spot]),
        reason=_reason(neurons, float(tolerance[spot]), roundoff, arithmetic),
        cause="" if good.all() else _cause(neurons, seen),
        failed=tuple(text(address_of(neurons, n)) for n in bad),
        weights=weights,
        inputs=inputs,
        bias=bias,
    )


def _ulp(value: float, difference: float, roundoff: float) -> float:
    """Difference in units in the last place: the spacing of numbers at `value` in the checked type."""
    if difference == 0:
        return 0.0
    if not np.isfinite(value) or not roundoff:
        return float("inf")
    spacing = 2 * roundoff * 2.0 ** np.floor(np.log2(abs(value))) if value else np.finfo(np.float64).tiny
    return float(difference / spacing)


def _reason(neurons: Neurons, tolerance: float, roundoff: float, arithmetic: str) -> str:
    if tolerance == 0:
        return "exact: nothing is rounded here"
    unit = f"u = 2^{int(np.log2(roundoff))} ({arithmetic})" if roundoff else arithmetic
    kind = neurons.layer.kind
    if kind is not None and kind.family in TERMS:
        return f"{FACTOR:g} sqrt(n) u sum|w x| + u |y|, {unit}: rounding of a sum of n products (Higham and Mary 2019)"
    return f"{FACTOR:g} times the rounding error carried through the formula + u |y|, {unit}"


def _cause(neurons: Neurons, seen: Seen) -> str:
    if opaque := seen.config.get("opaque"):
        return str(opaque)
    layer = neurons.layer
    computed = [array.path for array in layer.arrays if array.role == "computed"]
    if computed:
        return f"{', '.join(computed)} is computed from other arrays at each run"
    if layer.kind is not None and layer.class_name != layer.kind.name:
        return f"{layer.class_name} is described as {layer.kind.name}, but its forward may do more than that"
    return "the layer's forward gives something else than its stored arrays do; a hook or a patched forward can do that"


def _terms(neurons: Neurons, compared: _Compared, spot: tuple[int, ...]) -> tuple[Floats, Floats, float]:
    """The weights and the inputs of the sum that is shown, where the formula is one weighted sum."""
    kind = neurons.layer.kind
    assert kind is not None
    if compared.case is None or kind.family not in TERMS:
        return np.zeros(0), np.zeros(0), 0.0
    case = compared.case
    weights, inputs = TERMS[kind.family](case, spot)
    if "bias_map" in case.arrays:
        own = case.arrays["bias_map"][spot[0]]
        return weights, inputs, float(own if case.position else own[spot[-own.ndim :]])
    return weights, inputs, float(case.bias()[spot[0]])


def _compare_recurrent(runner: Runner, neurons: Neurons, seen: Seen) -> _Compared:
    """A unit of the last layer is seen at every step; a hidden layer shows only its last states."""
    again = rerun(runner, neurons.layer, seen)
    recorded, recomputed, errors = [], [], []
    axes: tuple[str, ...] = ()
    projecting = neurons.population.name == "proj" or "proj" not in neurons.layer.populations
    for number in neurons.numbers:
        trace, unit = again.trace(neurons, number)
        coords = neurons.population.coords(number)
        direction, level = coords.get("direction", 0), coords.get("layer", 0)
        last = -1 if direction == 0 else 0
        row = level * len(again.traces[0]) + direction
        if not again.stepped:
            recorded.append(again.last_hidden[..., unit])
            values, error = (again.native(part)[..., unit] for part in (trace.hidden, trace.hidden_error))
            axes = again.axes
        elif again.is_top(neurons, number) and projecting and _all_top(again, neurons):
            width = trace.hidden.shape[-1]
            assert again.output is not None
            recorded.append(again.output[..., direction * width + unit])
            values, error = (again.native(part)[..., unit] for part in (trace.hidden, trace.hidden_error))
            axes = again.axes
        else:
            final = again.last_hidden if projecting else again.last_cell
            state, spread = (trace.hidden, trace.hidden_error) if projecting else (trace.cell, trace.cell_error)
            assert final is not None
            recorded.append(final[row][..., unit])
            values, error = (part[:, last, unit] if again.batched else part[0, last, unit] for part in (state, spread))
            axes = ("batch",) if again.batched else ()
        recomputed.append(values)
        errors.append(error)
    compared = _Compared(np.stack(recorded), np.stack(recomputed), np.stack(errors), axes)
    return _at_step(compared, neurons)


def _all_top(again: Any, neurons: Neurons) -> bool:
    return all(again.is_top(neurons, number) for number in neurons.numbers)


def _at_step(compared: _Compared, neurons: Neurons) -> _Compared:
    if not neurons.position or "step" not in compared.axes:
        return compared
    axis = compared.axes.index("step") + 1
    step = neurons.position[0]
    parts = [np.take(part, step, axis=axis) for part in (compared.recorded, compared.recomputed, compared.error)]
    return _Compared(parts[0], parts[1], parts[2], tuple(name for name in compared.axes if name != "step"))

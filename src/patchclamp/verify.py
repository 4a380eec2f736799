"""Is the recorded output what the arrays and the inputs give? Recomputed in float64, with a derived tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .activated import compare_activation
from .attended import Attended
from .capture import Seen
from .check import Check
from .compare import Compared, compare, precision
from .errors import RunError
from .formulas import Floats, Precision
from .formulas.terms import TERMS
from .heads import changed_between, compare_heads
from .locate import address_of
from .model import Model, Neurons
from .routed import compare_routed, unsent
from .units import compare_units

__all__ = ["FACTOR", "Check", "verify", "verify_heads"]

FACTOR = 8.0
"""How many standard scales of rounding error are allowed; `formulas.rounding` says what one is."""


LARGEST = {2.0**-11: 65504.0, 2.0**-8: 3.3895e38, 2.0**-24: 3.4028e38}
"""The largest numbers of float16, bfloat16 and float32, by their roundoff."""
SMALL = 4.0
"""How many spacings of the smallest numbers are allowed, where a relative error says nothing."""


def verify(model: Model, neurons: Neurons, calls: Sequence[Seen]) -> Check:
    """Recompute what was recorded (whole inputs, the output of `neurons`) and compare.

    Raises KindError for a kind that has no formula, RunError where nothing was recorded to compare with.
    """
    checks = [_check(model, neurons, seen, compared) for seen in calls for compared in _compare(model, neurons, seen)]
    if not checks and calls and neurons.layer.kind is not None and neurons.layer.kind.family == "experts":
        raise unsent(model.runner, neurons, calls)
    return _worst(neurons, checks)


def _worst(neurons: Neurons, checks: Sequence[Check]) -> Check:
    checks = [check for check in checks if check.compared]
    if not checks:
        name = repr(neurons.layer.name) if neurons.layer.name else "the network itself"
        raise RunError(f"the output of {name} is empty on this input, so there is nothing to compare")
    worst = min(checks, key=lambda check: (check.ok, -check.excess))
    failed = dict.fromkeys(name for check in checks for name in check.failed)
    return replace(worst, compared=sum(check.compared for check in checks), failed=tuple(failed))


def verify_heads(model: Model, neurons: Neurons, found: Sequence[Attended], read: Sequence[Seen] = ()) -> Check:
    """Recompute what neurons of heads gave from the patterns and values of a run. Raises as `verify` does.

    `read` is what the projection read at each call; where that is something else the check says so as a cause.
    """
    runner = model.runner
    checks = []
    for number, one in enumerate(found):
        dropped = f"a share of {one.dropout:g} of the pattern is dropped at random inside the fused call"
        config = {"opaque": f"{dropped} (dropout_p); model.eval() turns that off"} if one.dropout else {}
        seen = Seen({"pattern": one.pattern, "value": one.value}, config, one.result)
        precise = runner.precision([one.pattern, one.value], one.result)
        compared = compare_heads(runner, neurons, one, precise)
        check = _check(model, neurons, seen, compared)
        if check.ok and len(read) == len(found) and changed_between(runner, compared, read[number]):
            via = neurons.population.via
            check = replace(check, cause=f"this is the attention itself; the layer changes it before {via} reads it")
        checks.append(check)
    return _worst(neurons, checks)


def _compare(model: Model, neurons: Neurons, seen: Seen) -> list[Compared]:
    assert neurons.layer.kind is not None and model.runner is not None
    if neurons.layer.kind.family == "recurrent":
        return compare_units(model.runner, neurons, seen)
    if neurons.layer.kind.family == "experts":
        return compare_routed(model.runner, neurons, seen)
    found = [compare(model.runner, neurons, seen)]
    after = compare_activation(model.runner, neurons, seen, precision(model.runner, neurons, seen))
    return [*found, after] if after is not None else found


@dataclass(frozen=True)
class _Verdict:
    """Differences and tolerances of one comparison, (neuron, *rest) each."""

    difference: Floats
    tolerance: Floats
    excess: Floats

    @classmethod
    def of(cls, compared: Compared, precise: Precision) -> _Verdict:
        recorded, recomputed = compared.recorded, compared.recomputed
        exact = (compared.error == 0) & (compared.bound == 0)
        final = np.where(exact, 0.0, precise.result * abs(recomputed) + SMALL * precise.least)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            tolerance = FACTOR * compared.error + compared.bound + final
            difference = abs(recorded - recomputed)
            same = (recorded == recomputed) | (np.isnan(recorded) & np.isnan(recomputed))
            # What is past the largest number of the type is infinite in it.
            beyond = abs(recomputed) + tolerance >= LARGEST.get(precise.result, np.inf)
            same |= np.isinf(recorded) & beyond & (np.sign(recorded) == np.sign(recomputed))
            difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
            excess = np.where(same, 0.0, np.where(tolerance > 0, difference / tolerance, np.inf))
        return cls(difference, tolerance, np.where(np.isnan(excess), np.inf, excess))

    @property
    def spot(self) -> tuple[int, ...]:
        """Where it is worst."""
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(self.excess)), self.excess.shape))


def _check(model: Model, neurons: Neurons, seen: Seen, compared: Compared) -> Check:
    assert model.runner is not None
    precise = precision(model.runner, neurons, seen)
    verdict = _Verdict.of(compared, precise)
    counted = ~(np.isnan(compared.recorded) & np.isnan(compared.recomputed)) if seen.frame is None else None
    if not verdict.excess.size:
        return Check("", True, 0, {}, 0.0, 0.0, 0.0, 0.0, 0.0, "")
    spot, good = verdict.spot, verdict.excess <= 1
    weights, inputs, bias = _terms(neurons, compared, spot)
    recorded, difference = float(compared.recorded[spot]), float(verdict.difference[spot])
    return Check(
        address=_name(model, neurons, compared.numbers[spot[0]]),
        ok=bool(good.all()),
        compared=int(good.size if counted is None else counted.sum()),
        where=dict(zip(compared.axes, spot[1:], strict=True)),
        recorded=recorded,
        recomputed=float(compared.recomputed[spot]),
        difference=difference,
        ulp=_ulp(recorded, difference, precise),
        tolerance=float(verdict.tolerance[spot]),
        reason=(compared.reason or _reason(neurons, float(verdict.tolerance[spot]), precise))
        + (f"; {compared.note}" if compared.note else ""),
        cause="" if good.all() else _cause(neurons, seen),
        failed=tuple(_name(model, neurons, n) for n, row in zip(compared.numbers, good, strict=True) if not row.all()),
        weights=weights,
        inputs=inputs,
        bias=bias,
    )


def _name(model: Model, neurons: Neurons, number: int) -> str:
    return model.addresses.text(address_of(neurons, number))


def _ulp(value: float, difference: float, precise: Precision) -> float:
    """Difference in units in the last place: the spacing of numbers at `value` in the checked type."""
    if difference == 0:
        return 0.0
    if not np.isfinite(value) or not precise.result:
        return float("inf")
    spacing = 2 * precise.result * 2.0 ** np.floor(np.log2(abs(value))) if value else 0.0
    return float(difference / max(spacing, precise.least))


def _reason(neurons: Neurons, tolerance: float, precise: Precision) -> str:
    if tolerance == 0:
        return "exact: nothing is rounded here"
    unit = f"u = 2^{round(np.log2(precise.sum))}, rounded to 2^{round(np.log2(precise.result))} ({precise.reason})"
    kind = neurons.layer.kind
    if kind is not None and kind.family in TERMS:
        return (
            f"{FACTOR:g} sqrt(n) u (|y| + c sum|w x|), c = max(n^-1/2, 1/16): rounding of a sum of n products; {unit}"
        )
    return f"{FACTOR:g} times the rounding error carried through the formula; {unit}"


def _cause(neurons: Neurons, seen: Seen) -> str:
    if opaque := seen.config.get("opaque"):
        return str(opaque)
    layer = neurons.layer
    computed = [array.path for array in layer.arrays if array.role == "computed"]
    if computed:
        return f"{', '.join(computed)} is computed from other arrays at each run"
    same = layer.kind is not None and layer.class_name.rpartition(".")[2] == layer.kind.title and not layer.own_forward
    if layer.kind is not None and not same:
        return f"{layer.class_name} is described as {layer.kind.name}, but its forward may do more than that"
    return "the layer's forward gives something else than its stored arrays do; a hook or a patched forward can do that"


def _terms(neurons: Neurons, compared: Compared, spot: tuple[int, ...]) -> tuple[Floats, Floats, float]:
    """The weights and the inputs of the sum that is shown, where the formula is one weighted sum."""
    kind, case = neurons.layer.kind, compared.case
    if kind is None or case is None or kind.family not in TERMS or kind.formula is not None:
        return np.zeros(0), np.zeros(0), 0.0
    weights, inputs = TERMS[kind.family](case, spot)
    if "bias_map" in case.arrays:
        own = case.arrays["bias_map"][spot[0]]
        return weights, inputs, float(own if case.position else own[spot[-own.ndim :]])
    return weights, inputs, float(case.bias()[spot[0]])

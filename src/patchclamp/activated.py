"""Layers that hold an activation of their own: what left them beside the activation of what they had before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .capture import Seen
from .compare import Compared, neurons_first
from .errors import KindError
from .formulas import Floats, Precision
from .formulas.curve import curve
from .model import Neurons
from .protocols import Runner

__all__ = ["compare_activation"]

OFF = 8.0
"""How many roundings of its result an activation of the layer's own is taken to be off by, beside its exponentials."""
SMALLEST = {2.0**-53: 2.0**-1022}
"""The smallest normal number of the type that exponentials are computed in, by the roundoff of the result; else that of
float32. Where e^-x overflows, 1 / (1 + e^-x) is zero and not so small a number."""
STEEPEST = 1000.0
"""Further out than this an exponential of float64 is zero too."""


def compare_activation(runner: Runner, neurons: Neurons, seen: Seen, precise: Precision) -> Compared | None:
    """The recorded output beside the activation of the recorded pre-activation; None where there is none.

    A curve that is known by name is computed here, each number by itself; any other function is the layer's own, on
    float64 numbers: those of all neurons, as a softmax needs them.
    """
    if seen.before is None or seen.frame is None:
        return None
    recorded = neurons_first(np.asarray(runner.numpy(seen.output)), neurons, seen.frame, seen)
    name = spelled(seen.config.get("activation"))
    try:
        before = neurons_first(np.asarray(runner.numpy(seen.before)), neurons, seen.frame, seen)
        bent = curve(name, before)
        vanishing = _smallest(precise) * np.clip(abs(before), 1.0, STEEPEST)
        values, error = bent.values, np.where(bent.error > 0, precise.result * bent.error + vanishing, 0.0)
    except KindError:
        found = _own(runner, neurons, seen, precise)
        if found is None:
            return None
        values, error = found
    axes = tuple(name for name in seen.axes["output"] if name in ("batch", "step") or name.startswith("at"))
    why = f"the activation {name!r} of what was recorded before it"
    return Compared(neurons.numbers, recorded, values, np.zeros_like(values), error, axes, None, why)


def spelled(activation: Any) -> str:
    """An activation by its name, whether it is stated as text or is a function."""
    return activation if isinstance(activation, str) else getattr(activation, "__name__", type(activation).__name__)


def _own(runner: Runner, neurons: Neurons, seen: Seen, precise: Precision) -> tuple[Floats, Floats] | None:
    """What the layer's own function makes of all that it had, cut to these neurons, and how far it may be off."""
    assert seen.frame is not None
    every = np.asarray(runner.numpy(seen.every))
    given = runner.apply(neurons.layer.name, "activation", every)
    if given is None or np.shape(given) != every.shape:
        return None
    rows = np.stack([_row(given, neurons, seen, number) for number in neurons.numbers])
    error = _doubt(runner, neurons, every, given, precise.result)
    found = np.stack([_row(error, neurons, seen, number) for number in neurons.numbers])
    return rows, found + _smallest(precise)


def _doubt(runner: Runner, neurons: Neurons, every: Floats, given: Floats, u: float) -> Floats:
    """How far a function of the layer's own may be off: by what some roundings of its argument change, by roundings of
    its result, and by those of numbers as large as the largest of its example that it adds and takes away."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(every), abs(every), 0.0)
        most = finite.max(axis=tuple(range(1, every.ndim)), keepdims=True, initial=0.0)
        # An exponential is off by as many roundings as its argument is large.
        error = (OFF + 4 * most) * u * abs(given) + OFF * u * most
        for side in (1 + OFF * u, 1 - OFF * u):
            moved = runner.apply(neurons.layer.name, "activation", every * side)
            error = error + np.nan_to_num(abs(np.asarray(moved) - given), posinf=0.0)
    return np.asarray(np.where(np.isfinite(error), error, 0.0))


def _smallest(precise: Precision) -> float:
    """Below this what an exponential gives may be zero."""
    return SMALLEST.get(precise.result, 2.0**-126) if precise.result else 0.0


def _row(values: Floats, neurons: Neurons, seen: Seen, number: int) -> Floats:
    assert seen.frame is not None
    coords = {name: at for name, at in neurons.population.coords(number).items() if name in seen.frame.sizes}
    names = [name for name in seen.frame.sizes if name == "step" or name.startswith("at")]
    at = dict(zip(names, neurons.position, strict=False))
    return np.asarray(values[seen.frame.key({**coords, **at})])

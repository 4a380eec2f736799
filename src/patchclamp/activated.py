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
    # An exponential is off by as many roundings as its argument is large.
    steps = OFF + 4 * float(np.max(abs(every), initial=0.0))
    return rows, steps * precise.result * abs(rows) + _smallest(precise)


def _smallest(precise: Precision) -> float:
    """Below this what an exponential gives may be zero."""
    return SMALLEST.get(precise.result, 2.0**-126) if precise.result else 0.0


def _row(values: Floats, neurons: Neurons, seen: Seen, number: int) -> Floats:
    assert seen.frame is not None
    coords = {name: at for name, at in neurons.population.coords(number).items() if name in seen.frame.sizes}
    names = [name for name in seen.frame.sizes if name == "step" or name.startswith("at")]
    at = dict(zip(names, neurons.position, strict=False))
    return np.asarray(values[seen.frame.key({**coords, **at})])

"""Recurrent units: what the layer showed of them beside what their gates give, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .capture import Seen
from .compare import Compared
from .errors import KindError
from .formulas import Floats
from .model import Neurons
from .protocols import Runner
from .stack import Rerun, rerun

__all__ = ["compare_units"]


def compare_units(runner: Runner, neurons: Neurons, seen: Seen) -> list[Compared]:
    """Compare all that the layer returned of these units.

    The last layer shows its states at every step, or only at the last; a hidden one shows only its last states. A unit
    that is projected shows its last cell state and, mixed with the others, the projections. Nothing is compared of a
    call that runs another layer of the stack.
    """
    again = rerun(runner, neurons.layer, seen)
    coords = {number: neurons.population.coords(number) for number in neurons.numbers}
    ran = [number for number in neurons.numbers if again.ran(coords[number])]
    top = [number for number in ran if again.is_top(coords[number])]
    if neurons.position and (len(top) < len(ran) or (ran and again.output is None and "step" in again.axes)):
        which = "its inner layers" if len(top) < len(ran) else "its units"
        raise KindError(f"{neurons.layer.name!r} does not show the states of {which} at each step", "leave @ out")
    projected = neurons.population.name == "" and "proj" in neurons.layer.populations
    found = []
    if again.output is not None and top:
        found.append((_mixed if projected else _steps)(again, neurons, top))
    if again.last is not None and top:
        found.append(_final(again, neurons, top))
    if ran and not neurons.position:
        found += _last(again, neurons, ran, projected)
    return found


def _steps(again: Rerun, neurons: Neurons, numbers: Sequence[int]) -> Compared:
    """The output of every step: (unit, *lead)."""
    rows = []
    for coords in map(neurons.population.coords, numbers):
        trace, unit = again.trace(coords), coords["neuron"]
        assert again.output is not None
        column = coords.get("direction", 0) * trace.hidden.shape[-1] + unit
        parts = (again.output[..., column], trace.hidden[..., unit], trace.hidden_error[..., unit])
        rows.append([again.at(again.native(part, returned=True), neurons) for part in parts])
    return _compared(numbers, rows, tuple(name for name in again.axes if name != "step" or not neurons.position))


def _mixed(again: Rerun, neurons: Neurons, numbers: Sequence[int]) -> Compared:
    """The projections of every step, which all units feed: (unit, *lead, proj)."""
    rows: dict[int, list[Floats]] = {}
    chosen = []
    for coords in map(neurons.population.coords, numbers):
        trace, side = again.trace(coords), coords.get("direction", 0)
        if side not in rows:
            assert again.output is not None
            width = trace.hidden.shape[-1]
            parts = (again.output[..., side * width : (side + 1) * width], trace.hidden, trace.hidden_error)
            rows[side] = [again.at(again.native(part, returned=True), neurons) for part in parts]
        chosen.append(rows[side])
    lead = tuple(name for name in again.axes if name != "step" or not neurons.position)
    return _compared(numbers, chosen, (*lead, "proj"))


def _final(again: Rerun, neurons: Neurons, numbers: Sequence[int]) -> Compared:
    """The output of the last step that is read, where only that is returned: (unit, batch)."""
    rows = []
    for coords in map(neurons.population.coords, numbers):
        trace, unit = again.trace(coords), coords["neuron"]
        assert again.last is not None
        rows.append([again.last[..., unit], trace.hidden[:, -1, unit], trace.hidden_error[:, -1, unit]])
    return _compared(numbers, rows, ("batch",))


def _last(again: Rerun, neurons: Neurons, numbers: Sequence[int], projected: bool) -> list[Compared]:
    """The last states: hidden, and of an LSTM the cell: (unit, batch) each."""
    found = []
    for word, states in (("h", again.hidden), ("c", again.cell)):
        mixed = projected if word == "h" else neurons.population.name == "proj"
        if states is not None and not mixed:
            rows = [_last_row(again, states, neurons.population.coords(n), word) for n in numbers]
            found.append(_compared(numbers, rows, ("batch",)))
    return found


def _last_row(again: Rerun, states: Floats, coords: Mapping[str, int], word: str) -> list[Floats]:
    values, error = again.trace(coords).end[word]
    unit = coords["neuron"]
    return [states[again.row(coords)][..., unit], values[..., unit], error[..., unit]]


def _compared(numbers: Sequence[int], rows: Sequence[Sequence[Floats]], axes: tuple[str, ...]) -> Compared:
    recorded, recomputed, error = (np.stack([row[part] for row in rows]) for part in range(3))
    return Compared(numbers, recorded, recomputed, np.nan_to_num(error), np.zeros_like(error), axes)

"""Hold one layer to what every kind promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..address import Address, Step
from ..capture import Capture, run
from ..compare import arrays_in
from ..errors import EditError, KindError
from ..locate import locate
from ..model import LayerInfo
from ..network import Network, open
from ..neuron import Selection
from ..verify import verify
from ..views import source
from .footprint import Footprint

__all__ = ["KindFailure", "KindReport", "check_kind"]

SAMPLE = 12
"""Layers with more neurons than this are looked at neuron by neuron for this many only, spread evenly; usually."""
FACTOR = 1.5
"""Weights are scaled by this to see whether a wrong one is noticed."""
VISIBLE = 0.01
"""A change of the output by this part of its largest value must be noticed, in float32 and better: 16-bit arithmetic
can lose as much where large terms cancel."""
COARSE = 2.0**-20
OTHERS = 1e-3
"""By how much of the largest number the others may move, where the arithmetic sums several together."""
PATCH = 0.05
"""A patch is right or quite wrong: 8-bit and 16-bit arithmetic is allowed for."""


class KindFailure(AssertionError):
    """A layer does not keep a promise; the message says which and shows the check."""


@dataclass(frozen=True)
class KindReport:
    """What was looked at.

    excess   the largest difference in units of its tolerance
    edited   how many neurons were edited and restored
    noticed  how many of them verify found wrong while they were edited
    """

    kind: str
    neurons: int
    compared: int
    excess: float
    noticed: int
    edited: int


def check_kind(module: Any, x: Any, layer: str = "", sample: int = SAMPLE) -> KindReport:
    """Check one layer of a live network on an input. Raises KindFailure for the first promise that does not hold.

    - the layer is known, its arrays fit their lines, and every parameter is accounted for
    - recomputed is what the framework gives: for the whole layer, each neuron alone, and several
    - a neuron recorded alone is its row of what is recorded of several
    - what a neuron reads at a position, times its weights, is its weighted sum there
    - a change of a neuron's weights changes what that neuron gives, and no other
    - weights that are made wrong are noticed
    - an edit changes the arrays, and they are restored bit for bit
    - nothing is left behind: hooks, attributes, flags, other parameters

    `module` is whatever `patchclamp.open` takes, of any framework. The whole layer is recomputed; one by one `sample`
    of its neurons are looked at, the first and the last among them.

    >>> import torch
    >>> check_kind(torch.nn.Linear(4, 3), torch.ones(2, 4)).neurons
    3
    """
    before = Footprint.of(module)
    net = open(module)
    info = net.model.layers[layer]
    if not info.populations:
        raise KindFailure(f"{layer!r} ({info.class_name}) is {info.known}: {info.problem or 'no kind describes it'}")
    if not net.accounting().complete:
        unknown = ", ".join(entry.path for entry in net.accounting().unknown)
        raise KindFailure(f"parameters that no kind accounts for: {unknown}")
    compared = excess = 0.0
    noticed = edited = 0
    hidden: list[KindError] = []
    for held in _populations(net, info):
        numbers = _numbers(len(held), sample)
        try:
            each, worst = _recomputed(held, numbers, x)
        except KindError as error:  # it works inside the layer, or has no formula
            hidden.append(error)
            continue
        compared, excess = compared + each, max(excess, worst)
        _alone(net, held, numbers, x)
        _apart(net, held, numbers, x)
        _patches(net, held, numbers, x)
        seen, done = _edited(net, info, held, numbers, x)
        noticed, edited = noticed + seen, edited + done
    if hidden and not compared:
        raise hidden[0]
    if Footprint.of(module) != before:
        raise KindFailure(f"something was left behind in {layer!r}")
    assert info.kind is not None
    return KindReport(info.kind.name, len(net[layer]), int(compared), excess, noticed, edited)


def _populations(net: Network, info: LayerInfo) -> Iterator[Selection]:
    """Every population of a layer, whole: the main one, its gates' projections, the parts of an attention."""
    for name, cells in info.populations.items():
        if len(cells):
            steps = (Step(name),) if name else ()
            yield Selection(net.model, locate(info, Address(info.name, steps)))


def _numbers(count: int, sample: int) -> list[int]:
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, sample))})


def _recomputed(held: Selection, numbers: Sequence[int], x: Any) -> tuple[int, float]:
    several = [held[[*numbers, numbers[0]]], held[numbers[len(numbers) // 2] :]]
    checks = [held.verify(x), *(held[number].verify(x) for number in numbers), *(part.verify(x) for part in several)]
    for check in checks:
        if not check:
            raise KindFailure(str(check))
    return sum(check.compared for check in checks), max(check.excess for check in checks)


def _alone(net: Network, held: Selection, numbers: Sequence[int], x: Any) -> None:
    numpy = net.model.runner.numpy
    calls = held[list(numbers)].record(x, keep=("output",)).calls
    kind = held.neurons.layer.kind
    if len(calls) > 1 and kind is not None and (kind.called or kind.family == "experts"):
        return  # each call computes some of them
    together = numpy(calls[-1].output)
    for row, number in enumerate(numbers):
        alone = numpy(held[number].record(x, keep=("output",)).calls[-1].output)
        # A single slope serves every channel: it has no row of its own.
        expected = together[row] if together.ndim > alone.ndim else together
        if not np.array_equal(alone, expected, equal_nan=True):
            raise KindFailure(f"{held[number]} recorded alone is not its row of what several give")


def _sums(held: Selection) -> bool:
    """Whether each neuron weighs what enters for itself, so that it can be told from the others."""
    kind = held.neurons.layer.kind
    main = not held.neurons.population.name and not held.neurons.population.via
    weighs = kind is not None and kind.role == "neuron" and kind.family not in ("recurrent", "experts", "")
    return main and weighs and len(held) > 1


def _apart(net: Network, held: Selection, numbers: Sequence[int], x: Any) -> None:
    """One neuron is changed: it gives something else then, and the others what they gave."""
    if not _sums(held) or len(net[held.neurons.layer.name].record(x, keep=("output",)).calls) != 1:
        return
    numpy, every = net.model.runner.numpy, held[list(range(len(held)))]
    before = numpy(every.record(x, keep=("pre_activation",)).pre_activation)
    for number in (numbers[0], numbers[-1]):
        try:
            with net.edit() as edit:
                edit[str(held[number])].scale(FACTOR)
                after = numpy(every.record(x, keep=("pre_activation",)).pre_activation)
        except EditError:
            continue
        moved = abs(after - before).reshape(len(held), -1).max(axis=1)
        moved = np.where(np.isnan(moved), 0.0, moved)
        size = float(np.nanmax(abs(before), initial=0.0))
        stray = np.flatnonzero((moved > OTHERS * size) & (np.arange(len(held)) != number))
        if stray.size:
            raise KindFailure(f"{held[number]} was changed, and {held[int(stray[0])]} gives something else")
        if not moved[number] and np.any(before[number]):
            raise KindFailure(f"{held[number]} was changed, and gives what it gave")


def _patches(net: Network, held: Selection, numbers: Sequence[int], x: Any) -> None:
    """What a filter reads at the middle of its map, times its kernel, is its sum there."""
    kind = held.neurons.layer.kind
    if not _sums(held) or kind is None or kind.family != "conv" or kind.facts.get("standard"):
        return
    numpy = net.model.runner.numpy
    for number in (numbers[0], numbers[-1]):
        neuron = held[number]
        seen = neuron.record(x)
        if len(seen.calls) != 1:
            return
        extents = [
            seen.call.pre_activation.shape[axis]
            for axis, name in enumerate(seen.axes["pre_activation"])
            if name.startswith("at")
        ]
        at = tuple(int(extent) // 2 for extent in extents)
        part = neuron.at(*at).record(x)
        words = [word for word in neuron.arrays if "bias" not in word]
        if len(words) != 1 or not at or min(extents) < 1:
            return
        weight, axes = numpy(neuron.arrays[words[0]]), list(neuron.axes[words[0]])
        entered = part.call.inputs
        read = numpy(next(iter(entered.values())) if isinstance(entered, Mapping) else entered)
        names = list(part.axes["inputs"])
        if set(names) - {"batch"} != set(axes):
            return
        order = [names.index(axis) for axis in (*(["batch"] if "batch" in names else []), *axes)]
        total = (np.transpose(read, order) * weight).reshape(*read.shape[: "batch" in names], -1).sum(axis=-1)
        bias = [numpy(value) for word, value in neuron.arrays.items() if "bias" in word]
        total = total + sum(float(np.ravel(value)[0]) for value in bias)
        recorded = numpy(part.call.pre_activation)
        if np.isfinite(recorded).all() and not np.allclose(total, recorded, rtol=PATCH, atol=PATCH):
            raise KindFailure(f"{neuron} at {at} reads something else than it sums: {total} beside {recorded}")


def _edited(net: Network, info: LayerInfo, held: Selection, numbers: Sequence[int], x: Any) -> tuple[int, int]:
    """Scale neurons one by one: how many were noticed, how many could be edited."""
    before = _bytes(net, info)
    noticed = edited = 0
    right = None if held.neurons.population.side == "in" else _run(net, held, x)
    for number in numbers:
        address = str(held[number])
        try:
            with net.edit() as edit:
                edit[address].scale(FACTOR)
                edited += _bytes(net, info) != before
                wrong = None if right is None else _run(net, held, x)
        except EditError:  # no weights, or weights that cannot be edited: said before anything was touched
            continue
        if _bytes(net, info) != before:
            raise KindFailure(f"an edit of {address} was not restored bit for bit")
        if right is None or wrong is None:  # slots of a projection: what they give does not depend on how it reads them
            continue
        assert wrong.neurons is not None
        found = not verify(net.model, wrong.neurons, wrong.calls)
        if not found and _visible(net, right, wrong):
            raise KindFailure(f"{address} was made {FACTOR} times as large while it ran, and verify did not notice")
        noticed += found
    return noticed, edited


def _run(net: Network, held: Selection, x: Any) -> Capture:
    neurons = source(net.model.layers, held.neurons)
    capture = Capture(net.model.runner, neurons.layer, neurons, whole_inputs=True)
    run(net.model, {neurons.layer.name: capture}, x)
    return capture


def _visible(net: Network, right: Capture, wrong: Capture) -> bool:
    """Whether what left the layer changed by so much that it must be noticed: more than its own rounding hides."""
    numpy, precision = net.model.runner.numpy, net.model.runner.precision
    pairs = zip(right.calls, wrong.calls, strict=True)
    for a, b in ((a, b) for x, y in pairs for a, b in zip(arrays_in(x.output), arrays_in(y.output), strict=True)):
        values = numpy(a)
        moved = abs(values - numpy(b)).max(initial=0.0)
        if precision([], a).result < COARSE and moved > VISIBLE * abs(values).max(initial=0.0):
            return True
    return False


def _bytes(net: Network, info: LayerInfo) -> list[bytes]:
    held = {id(p.array): p.array for cells in info.populations.values() for p in cells.placed}
    arrays = (*info.arrays, *(array for array in held.values() if array not in info.arrays))
    return [net.model.keeper.raw(array.read()) for array in arrays]

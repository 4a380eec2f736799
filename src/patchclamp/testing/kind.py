"""Hold one layer to what every kind promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..address import Address
from ..capture import Capture, run
from ..compare import arrays_in
from ..errors import EditError
from ..locate import locate
from ..model import LayerInfo
from ..network import Network, open
from ..verify import verify
from .footprint import Footprint

__all__ = ["KindFailure", "KindReport", "check_kind"]

SAMPLE = 12
"""Layers with more neurons than this are looked at neuron by neuron for this many only, spread evenly."""
FACTOR = 1.5
"""Weights are scaled by this to see whether a wrong one is noticed."""
VISIBLE = 0.01
"""A change of the output by this part of its largest value must be noticed, in float32 and better: 16-bit arithmetic
can lose as much where large terms cancel."""
COARSE = 2.0**-20


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


def check_kind(module: Any, x: Any, layer: str = "") -> KindReport:
    """Check one layer of a live network on an input. Raises KindFailure for the first promise that does not hold.

    - the layer is known, its arrays fit their lines, and every parameter is accounted for
    - recomputed is what the framework gives: for the whole layer, each neuron alone, and several
    - a neuron recorded alone is its row of what is recorded of several
    - weights that are made wrong are noticed
    - an edit changes the arrays, and they are restored bit for bit
    - nothing is left behind: hooks, attributes, flags, other parameters

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
    numbers = _numbers(len(net[layer]))
    compared, excess = _recomputed(net, layer, numbers, x)
    _alone(net, layer, numbers, x)
    noticed, edited = _edited(net, info, numbers, x)
    if Footprint.of(module) != before:
        raise KindFailure(f"something was left behind in {layer!r}")
    assert info.kind is not None
    return KindReport(info.kind.name, len(net[layer]), compared, excess, noticed, edited)


def _numbers(count: int) -> list[int]:
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, SAMPLE))})


def _recomputed(net: Network, layer: str, numbers: Sequence[int], x: Any) -> tuple[int, float]:
    held = net[layer]
    several = [held[[*numbers, numbers[0]]], held[numbers[len(numbers) // 2] :]]
    checks = [held.verify(x), *(held[number].verify(x) for number in numbers), *(part.verify(x) for part in several)]
    for check in checks:
        if not check:
            raise KindFailure(str(check))
    return sum(check.compared for check in checks), max(check.excess for check in checks)


def _alone(net: Network, layer: str, numbers: Sequence[int], x: Any) -> None:
    held, numpy = net[layer], net.model.runner.numpy
    together = numpy(held[list(numbers)].record(x, keep=("output",)).output)
    for row, number in enumerate(numbers):
        alone = numpy(held[number].record(x, keep=("output",)).output)
        # A single slope serves every channel: it has no row of its own.
        expected = together[row] if together.ndim > alone.ndim else together
        if not np.array_equal(alone, expected, equal_nan=True):
            raise KindFailure(f"{held[number]} recorded alone is not its row of what several give")


def _edited(net: Network, info: LayerInfo, numbers: Sequence[int], x: Any) -> tuple[int, int]:
    """Scale neurons one by one: how many were noticed, how many could be edited."""
    before, right = _bytes(net, info), _run(net, info, x)
    noticed = edited = 0
    for number in numbers:
        address = str(net[info.name][number])
        try:
            with net.edit() as edit:
                edit[address].scale(FACTOR)
                edited += _bytes(net, info) != before
                wrong = _run(net, info, x)
        except EditError:  # no weights, or weights that cannot be edited: said before anything was touched
            continue
        if _bytes(net, info) != before:
            raise KindFailure(f"an edit of {address} was not restored bit for bit")
        found = not verify(net.model, locate(info, Address(info.name)), wrong.calls)
        if not found and _visible(net, right, wrong):
            raise KindFailure(f"{address} was made {FACTOR} times as large while it ran, and verify did not notice")
        noticed += found
    return noticed, edited


def _run(net: Network, info: LayerInfo, x: Any) -> Capture:
    capture = Capture(net.model.runner, info, locate(info, Address(info.name)), whole_inputs=True)
    run(net.model, {info.name: capture}, x)
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
    return [net.model.keeper.raw(array.read()) for array in info.arrays]

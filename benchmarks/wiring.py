"""Wiring: all connections of a network against one forward of it, memory, single queries, and Torch-Pruning's graph."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch
from tests.support.wiring_zoo import published

import patchclamp as pc
from patchclamp.wiring import Wiring
from patchclamp.wiring.table import traced

from . import dependency
from .measure import Result, paired

__all__ = ["Said", "results"]

AIMS = {"resnet50": "<= 3 x", "gpt2": "<= 3 x"}
"""Of the trace at the smallest input."""
SMALL = {"gpt2": 8}
"""A small input that is not the smallest: tokens; of the others pixels."""
PIXELS = 32
GRAPHS = ("resnet50", "densenet121", "mobilenet_v2")
"""The networks in full size whose dependency graph Torch-Pruning builds."""


@dataclass(frozen=True)
class Said:
    """A row that is no ratio of two times: the numbers in words."""

    what: str
    against: str
    ours: str
    theirs: str = ""
    aim: str = ""

    def row(self) -> str:
        """One row of a Markdown table, with the columns of `measure.Result`."""
        return f"| {' | '.join((self.what, self.against, self.ours, self.theirs, '', '', self.aim))} |"


def results() -> Iterator[Result | Said]:
    torch.set_num_threads(1)
    for name in published():
        yield from _all_neurons(name)
    yield from _queries("resnet50")
    yield from _queries("gpt2")
    yield from _without_weights()
    yield from _memory()
    yield from _graphs()


def built(name: str, size: int) -> tuple[torch.nn.Module, Any]:
    """A network with random float32 weights, and an input of so many pixels or tokens."""
    model, x = published()[name].build(size)
    return model.float(), x if isinstance(x, dict) else x.float()


def _forward(model: torch.nn.Module, x: Any) -> Callable[[], object]:
    def forward() -> None:
        with torch.inference_mode():
            model(**x) if isinstance(x, dict) else model(x)

    return forward


def _all_neurons(name: str) -> Iterator[Result]:
    """The trace, and the table of its connections sorted for queries, each against a forward."""
    smallest, unit = published()[name].smallest, "token(s)" if name in SMALL else "px"
    for size in (smallest, SMALL.get(name, PIXELS)):
        aim = AIMS.get(name, "") if size == smallest else ""
        model, x = built(name, size)
        net, forward = pc.open(model), _forward(model, x)
        what = f"wiring of all neurons, {name}, {size} {unit}"
        took = paired(lambda net=net, x=x: traced(net.model, x), forward, 9, warm=1)
        yield Result(f"{what}: trace", "a forward", *took, aim)
        found = traced(net.model, x)
        some = found.cells.text(int(found.source[len(found.source) // 2]))

        def table(found: Any = found, some: str = some) -> None:
            wiring = Wiring(found)
            wiring.outgoing(some)
            wiring.sources(some)

        yield Result(f"{what}: table and first queries", "a forward", *paired(table, forward, 9, warm=1))


def _queries(name: str) -> Iterator[Result]:
    """One neuron after another, of all layers in turn; against looking through the column by hand."""
    model, x = built(name, published()[name].smallest)
    wiring = pc.open(model).wiring(x)
    cells, columns = wiring.traced.cells, wiring.traced
    labels = [int(label) for label in np.unique(columns.source)[1:] if not cells.of(int(label)).text]
    chosen = labels[:: max(1, len(labels) // 50)]
    addresses, by_hand = cycle([cells.text(label) for label in chosen]), cycle(chosen)

    def scan() -> object:
        rows = np.flatnonzero(columns.source == next(by_hand))
        return columns.reader[rows], columns.slot[rows], columns.gain[rows]

    for what, query in (("outgoing", wiring.outgoing), ("sources", wiring.sources)):
        took = paired(lambda query=query: query(next(addresses)), scan, 30, inner=len(chosen), warm=1)
        yield Result(f"{name}: wiring.{what}(neuron)", "looking through the column of sources", *took, "< 1 ms")


ALONE = "benchmarks.wiring_alone"


def _alone(act: str, name: str) -> dict[str, float]:
    """What a process of its own says of one act: seconds, and bytes above what it held before."""
    command = [sys.executable, "-W", "ignore", "-m", ALONE, act, name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def _without_weights() -> Iterator[Said]:
    for name, label in (("gpt2", "GPT-2 small"), ("llama8b", "an 8B Llama shape")):
        said = _alone("fake", name)
        what = f"wiring without weights, {label}, 2 tokens: {said['edges']:,} direct connections"
        yield Said(what, "seconds in a process of its own", f"{said['seconds']:.3g} s", aim="< 10 s")
        yield Said(what, "memory above the imports", _gigabytes(said["bytes"]), aim="< 1.5 GB")


def _memory() -> Iterator[Said]:
    for name in ("resnet50", "gpt2"):
        ours, theirs = _alone("wiring", name), _alone("forward", name)
        what = f"memory of wiring {name}, above the imports and the model"
        yield Said(what, "a forward", _gigabytes(ours["bytes"]), _gigabytes(theirs["bytes"]))


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"


def _graphs() -> Iterator[Result | Said]:
    """What each finds is the business of `python -m benchmarks.dependency`; here, how long they take."""
    if not dependency.installed():
        yield Said("Torch-Pruning's dependency graph", "", f"left out: {dependency.MISSING}")
        return
    for name in GRAPHS:
        model, x = built(name, PIXELS)
        net = pc.open(model)
        twin, _ = built(name, PIXELS)
        took = paired(lambda net=net, x=x: net.wiring(x), lambda m=twin, x=x: dependency.Theirs(m, x), 9, warm=1)
        yield Result(f"{name}, {PIXELS} px: net.wiring(x), with gains", "Torch-Pruning's graph, indices alone", *took)
        took = paired(
            lambda net=net, x=x: net.wiring(x, numbers=False), lambda m=twin, x=x: dependency.Theirs(m, x), 9, warm=1
        )
        yield Result(f"{name}, {PIXELS} px: net.wiring(x, numbers=False)", "Torch-Pruning's graph", *took)

"""Torch-Pruning's dependency graph beside a wiring: of the same neurons of the same networks, what each finds.

    python -m benchmarks.dependency [--only NETWORK ...] [--write]

Torch-Pruning answers what must be pruned together with a channel. The inputs of other layers that are among it (columns
of a Linear, input channels of a convolution) are set beside the slots of `outgoing`, and each difference is named. It
needs `pip install torch-pruning==1.6.1 --no-deps`. `--write` puts the table into docs/wiring-compared.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tests.support.wiring_zoo import ZOO, published
from torch import nn

import patchclamp as pc

__all__ = ["Compared", "Theirs", "compare", "installed", "names", "table"]

PER_LAYER = 3
"""How many random neurons of each layer are asked."""
PIXELS, TOKENS = 32, 8
"""The input of the networks in full size."""
PAGE = Path(__file__).parent.parent / "docs" / "wiring-compared.md"
BEGIN, END = "<!-- dependency: begin -->", "<!-- dependency: end -->"
MISSING = "torch-pruning is not installed: pip install torch-pruning==1.6.1 --no-deps"
Slots: TypeAlias = set[tuple[str, int]]
"""(name of the module that reads, which of its inputs)."""


def installed() -> bool:
    return find_spec("torch_pruning") is not None


@dataclass
class Compared:
    """What was found of one network.

    failed      why the graph could not be built; then the rest is 0
    seconds     to build the graph, and to trace the wiring
    asked       neurons of which both were asked; `silent`: neurons that the graph has no answer for, by kind of layer
    same, ours, theirs    slots that both name, that only a wiring names, that only the graph names
    why         reasons of the differences -> how many slots
    """

    name: str
    failed: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)
    asked: int = 0
    equal: int = 0
    same: int = 0
    ours: int = 0
    theirs: int = 0
    silent: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)

    def row(self) -> str:
        if self.failed:
            cells: tuple[Any, ...] = (self.name, "-", *["-"] * 5, self.failed)
        else:
            parts = [f"{reason} ({count:,})" for reason, count in self.why.most_common()]
            parts += [f"no answer for {kind} ({count:,} neurons)" for kind, count in self.silent.most_common()]
            numbers = (self.asked, self.equal, self.same, self.ours, self.theirs)
            cells = (self.name, f"{self.seconds[0]:.3g} s", *(f"{n:,}" for n in numbers), "; ".join(parts))
        return f"| {' | '.join(cells)} |"


class Theirs:
    """The dependency graph of a model, asked for the inputs of other layers that read a channel."""

    def __init__(self, model: nn.Module, x: Any) -> None:
        import torch_pruning

        self.names = {module: name for name, module in model.named_modules()}
        self.graph = torch_pruning.DependencyGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.graph.build_dependency(model, example_inputs=x, output_transform=_first)

    def knows(self, module: nn.Module) -> bool:
        return module in self.graph.module2node and self.graph.get_pruner_of_module(module) is not None

    def heard(self, module: nn.Module, channel: int) -> tuple[Slots, Slots]:
        """The inputs of other layers in the group of a channel, and the other channels that go with it."""
        prune = self.graph.get_pruner_of_module(module).prune_out_channels
        slots: Slots = set()
        partners: Slots = set()
        for number, (dependency, channels) in enumerate(self.graph.get_pruning_group(module, prune, [channel])):
            target = dependency.target.module
            if target not in self.names or not isinstance(target, READS):
                continue
            entering = self.graph.is_in_channel_pruning_fn(dependency.handler)
            named = {(self.names[target], int(one)) for one in channels}
            if entering or (number and _depthwise(target)):
                slots |= named
            if not entering:
                partners |= named
        return slots, partners


READS = (nn.Linear, nn.modules.conv._ConvNd, nn.LSTM, nn.GRU, nn.MultiheadAttention, nn.Bilinear)
"""The layers that weigh what they read. (An embedding reads no neuron.)"""


def _first(output: Any) -> Any:
    """The tensor to which the graph is followed: the first that the model returns."""
    return output if isinstance(output, torch.Tensor) else _first(output[0])


def _depthwise(module: nn.Module) -> bool:
    """Whether a convolution's channels read one input each: the graph prunes these as its outputs."""
    return isinstance(module, nn.modules.conv._ConvNd) and module.groups == module.in_channels > 1


def compare(name: str, seed: int = 0) -> Compared:
    """Build both on one network and ask both for random neurons of every layer."""
    model, x = _built(name)
    found = Compared(name)
    net = pc.open(model)
    begun = time.perf_counter()
    wiring = net.wiring(x)
    traced = time.perf_counter()
    try:
        theirs = Theirs(model, x)
    except Exception as error:  # whatever another library raises is what is told of it
        found.failed = f"fails: {type(error).__name__}: {str(error).splitlines()[0][:90]}"
        return found
    found.seconds = (time.perf_counter() - traced, traced - begun)
    modules = dict(model.named_modules())
    for module, number, address in _sample(wiring, seed):
        if not theirs.knows(modules[module]) or not isinstance(modules[module], READS):
            found.silent[type(modules[module]).__name__] += 1
            continue
        _one(found, wiring, theirs, modules, (module, number, address))
    return found


def names() -> tuple[str, ...]:
    """The networks in full size, then the small ones."""
    return (*published(), *ZOO)


def _built(name: str) -> tuple[nn.Module, Any]:
    full = published().get(name.removesuffix(FULL))
    if full is not None and (name.endswith(FULL) or name not in ZOO):
        return full.build(TOKENS if name.startswith("gpt2") else PIXELS)
    return ZOO[name]()


FULL = " small"

"""Torch-Pruning's dependency graph beside a wiring: of the same neurons of the same networks, what each finds.

    python -m benchmarks.dependency [--only NETWORK ...] [--write]

Torch-Pruning answers what must be pruned together with a channel. The inputs of other layers that are among it (columns
of a Linear, input channels of a convolution) are set beside the slots of `outgoing`, and each difference is named. It
needs `pip install torch-pruning==1.6.1 --no-deps`. `--write` puts the table into docs/wiring-compared.md.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tests.support.wiring_zoo import ZOO, published
from torch import nn

import patchclamp as pc
from patchclamp.testing.oracle import listeners

__all__ = ["Compared", "Theirs", "compare", "installed", "names", "table"]

PER_LAYER = 3
"""How many random neurons of each layer are asked."""
PIXELS, TOKENS = 32, 8
"""The input of the networks in full size."""
JUDGED = 5
"""How many neurons of each small network are put to brute force, where the answers differ by more than the question."""
BUILD, QUERY = 60, 1
"""Seconds that the graph of one network may take, and the answer for one channel."""
PAGE = Path(__file__).parent.parent / "docs" / "wiring-compared.md"
BEGIN, END = "<!-- dependency: begin -->", "<!-- dependency: end -->"
MISSING = "torch-pruning is not installed: pip install torch-pruning==1.6.1 --no-deps"
FULL = ", full size"
OTHER_SLOTS = ("bilinear",)
"""Left out: a slot of a bilinear layer is a pair of inputs, which the graph numbers one by one."""
Slots: TypeAlias = set[tuple[str, int]]
"""(name of the module that reads, which of its inputs)."""
Tagged: TypeAlias = dict[tuple[str, int], tuple[str, ...]]
"""Slots with what lies on the path."""


def installed() -> bool:
    return find_spec("torch_pruning") is not None


@dataclass
class Compared:
    """What was found of one network.

    failed      why the graph could not be built; then the rest is 0
    seconds     to build the graph
    asked       neurons of which both were asked; `silent`: neurons that the graph has no answer for, by kind of layer
    judged      neurons put to brute force: how many, and whom it bears out (what partners hear is not held against it)
    same, ours, theirs    slots that both name, that only a wiring names, that only the graph names
    why         reasons of the differences -> how many slots
    """

    name: str
    failed: str = ""
    seconds: float = 0.0
    asked: int = 0
    equal: int = 0
    same: int = 0
    ours: int = 0
    theirs: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)

    def row(self) -> str:
        if self.failed:
            cells: tuple[Any, ...] = (self.name, *["-"] * 7, self.failed)
        else:
            parts = [f"{reason} ({count:,})" for reason, count in self.why.most_common()]
            parts += [f"no answer for {kind} ({count:,} neurons)" for kind, count in self.silent.most_common()]
            numbers = [f"{n:,}" for n in (self.asked, self.equal, self.same, self.ours, self.theirs)]
            asked, ours, theirs = (self.judged[word] for word in ("asked", "ours", "theirs"))
            judged = f"{ours} : {theirs} of {asked}" if asked else ""
            cells = (self.name, f"{self.seconds:.3g} s", *numbers, judged, "; ".join(parts))
        return f"| {' | '.join(cells)} |"


class Theirs:
    """The dependency graph of a model, asked for the inputs of other layers that read a channel."""

    def __init__(self, model: nn.Module, x: Any) -> None:
        import torch_pruning

        self.modules = dict(model.named_modules())
        self.names = {module: name for name, module in self.modules.items()}
        self.graph = torch_pruning.DependencyGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _without_cache(model):
                self.graph.build_dependency(model, example_inputs=x, output_transform=_first)

    def channel(self, name: str, population: str, number: int) -> tuple[nn.Module, int] | str:
        """What the graph calls a neuron: a module and an output channel of it. A word for what it cannot be asked."""
        module, outer = self.modules[name], self.modules.get(name.rpartition(".")[0])
        if isinstance(outer, nn.MultiheadAttention):
            module = outer  # its output projection: the graph knows the attention as a whole
        elif isinstance(module, nn.MultiheadAttention):
            return "queries, keys and values of MultiheadAttention"
        elif isinstance(module, nn.LSTM):
            wide = module.proj_size or module.hidden_size
            below = (module.num_layers - 1) * (1 + module.bidirectional) * wide
            if number < below or bool(module.proj_size) != bool(population):
                return "inner units of LSTM"
            number -= below
        return (module, number) if self.knows(module) else type(module).__name__

    def knows(self, module: nn.Module) -> bool:
        return module in self.graph.module2node and self.graph.get_pruner_of_module(module) is not None

    def unseen(self, name: str, tags: Sequence[str]) -> str:
        """Why a slot that hears a neuron is not in its group."""
        if "through time" in tags:
            return THROUGH_TIME
        module = self.modules[name]
        return MISSED if self.knows(module) else f"ours: read by {type(module).__name__}"

    def heard(self, module: nn.Module, channel: int) -> tuple[Slots, Slots]:
        """The inputs of other layers in the group of a channel, and the channels that go with it, its own included."""
        prune = self.graph.get_pruner_of_module(module).prune_out_channels
        slots: Slots = set()
        partners: Slots = set()
        for number, (dependency, channels) in enumerate(self.graph.get_pruning_group(module, prune, [channel])):
            target = dependency.target.module
            if target in self.names:
                named = {(self.names[target], int(one)) for one in channels}
                entering = self.graph.is_in_channel_pruning_fn(dependency.handler) and isinstance(target, READS)
                slots |= named if number and (entering or _depthwise(target)) else set()
                partners |= named if not entering or _depthwise(target) else set()
        return slots, partners


READS = (nn.Linear, nn.modules.conv._ConvNd, nn.LSTM, nn.GRU, nn.MultiheadAttention, nn.Bilinear)
"""The layers that weigh what they read. (An embedding reads no neuron.)"""


@contextmanager
def _without_cache(model: nn.Module) -> Iterator[None]:
    """Keep a language model from returning its keys and values: the graph cannot follow these."""
    config: Any = getattr(model, "config", None)
    before = getattr(config, "use_cache", None)
    if before:
        config.use_cache = False
    try:
        yield
    finally:
        if before:
            config.use_cache = before


def _first(output: Any) -> Any:
    """The tensor to which the graph is followed: the first that the model returns."""
    return output if isinstance(output, torch.Tensor) else _first(output[0])


def _depthwise(module: nn.Module) -> bool:
    """Whether a convolution's channels read one input each: the graph prunes these as its outputs."""
    return isinstance(module, nn.modules.conv._ConvNd) and module.groups == module.in_channels > 1


def compare(name: str, seed: int = 0) -> Compared:
    """Build both on one network and ask both for random neurons of every layer. What the graph raises is told."""
    model, x = _built(name)
    found = Compared(name)
    net = pc.open(model)
    net.wiring(x)
    begun = time.perf_counter()
    try:
        with _limited(BUILD):
            theirs = Theirs(model, x)
    except Exception as error:  # whatever another library raises
        found.failed = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return found
    found.seconds = time.perf_counter() - begun
    _ask(found, net, theirs, x, seed)
    return found


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what is run inside, when it takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ask(found: Compared, net: pc.Network, theirs: Theirs, x: Any, seed: int) -> None:
    """Ask both for random neurons, and brute force where they differ by more than the question."""
    wiring = net.wiring()
    for module, population, number, address in _sample(wiring, seed):
        channel = theirs.channel(module, population, number)
        if isinstance(channel, str):
            found.silent[channel] += 1
            continue
        try:
            with _limited(QUERY):
                slots, partners = theirs.heard(*channel)
        except (IndexError, ValueError, AssertionError, TimeoutError) as error:
            found.silent[f"{type(channel[0]).__name__}: {type(error).__name__}"] += 1
            continue
        ours = _heard(wiring, address)
        of_partners = {slot for one in partners for slot in _of_channel(wiring, *one)} - set(ours)
        _count(found, set(ours), slots)
        found.why.update(theirs.unseen(slot[0], ours[slot]) for slot in set(ours) - slots)
        found.why.update(PARTNERS if slot in of_partners else WRONG for slot in slots - set(ours))
        inner = {slot for slot, tags in ours.items() if "through time" in tags}
        left = slots - of_partners | inner
        if left != set(ours) and not found.name.endswith(FULL) and found.judged["asked"] < JUDGED:
            truth = {(path.rpartition(".")[0], slot) for _, _, path, slot in listeners(net, address, x, held=True)}
            found.judged.update(asked=1, ours=int(set(ours) == truth), theirs=int(left == truth))


def names() -> tuple[str, ...]:
    """The networks in full size, then the small ones."""
    return (*(name + FULL for name in published()), *(name for name in ZOO if name not in OTHER_SLOTS))


def _built(name: str) -> tuple[nn.Module, Any]:
    if name.endswith(FULL):
        plain = name.removesuffix(FULL)
        return published()[plain].build(TOKENS if plain == "gpt2" else PIXELS)
    return ZOO[name]()


def _sample(wiring: Any, seed: int) -> Iterator[tuple[str, str, int, str]]:
    """Random neurons of each layer that ran: the module with their weights, population, number in it, address."""
    cells, chance = wiring.traced.cells, random.Random(seed)
    blocks: dict[int, list[int]] = defaultdict(list)
    for label in wiring.traced.ran.tolist():
        block = cells.of(label)
        if not block.text and not block.array:
            blocks[block.start].append(label)
    for start, labels in sorted(blocks.items()):
        block = cells.of(start)
        path = wiring.model.layers[block.layer].populations[block.population].placed[0].array.path
        for label in chance.sample(labels, min(PER_LAYER, len(labels))):
            yield path.rpartition(".")[0], block.population, label - start, cells.text(label)


def _heard(wiring: Any, address: str) -> Tagged:
    """The slots that hear a neuron directly, by the module that has the array, with the tags of the path."""
    found = {}
    for one in wiring.outgoing(address):
        if one.direct and not one.output:
            module = one.reader.path.rpartition(".")[0]
            found.update({(module, int(slot)): one.tags for slot in one.slots})
    return found


def _count(found: Compared, ours: Slots, theirs: Slots) -> None:
    found.asked += 1
    found.equal += ours == theirs
    found.same += len(ours & theirs)
    found.ours += len(ours - theirs)
    found.theirs += len(theirs - ours)


PARTNERS = "theirs: read other channels of the group"
WRONG = "theirs: read no channel of the group"
THROUGH_TIME = "ours: its own layer, one step later"
MISSED = "ours: not in the group"


def _of_channel(wiring: Any, module: str, channel: int) -> Slots:
    """The slots that hear a channel of a module."""
    found: Slots = set()
    for block in wiring.traced.cells.blocks:
        inside = block.layer in (module, f"{module}.out_proj") and not block.text
        if inside and not block.population and 0 <= channel < block.count:
            found |= set(_heard(wiring, wiring.traced.cells.text(block.start + channel)))
    return found


HEADER = (
    "| network | graph built in | neurons asked | equal answers | same slots | only ours | only theirs "
    "| borne out | why |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)


def table(results: Sequence[Compared]) -> str:
    """The totals in words, and a Markdown table with one row for each network."""
    done = [one for one in results if not one.failed]
    asked, equal = sum(one.asked for one in done), sum(one.equal for one in done)
    silent = sum(sum(one.silent.values()) for one in done)
    judged = sum((one.judged for one in done), Counter())
    head = f"{len(results)} networks; the graph is built for {len(done)}. "
    head += f"There it answers for {asked:,} of {asked + silent:,} neurons, "
    head += f"and names the slots that hear the neuron, no more and no fewer, for {equal:,} of them. "
    head += f"Of {judged['asked']} neurons where they differ by more than partners and time, brute force bears out "
    head += f"the wiring for {judged['ours']} and the graph for {judged['theirs']}."
    return "\n".join([head, "", HEADER, *(one.row() for one in results)])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dependency", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="these networks alone")
    parser.add_argument("--write", action="store_true", help="write the table into docs/wiring-compared.md")
    given = parser.parse_args(arguments)
    if not installed():
        print(MISSING, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    results = []
    for name in given.only or names():
        results.append(compare(name))
        print(results[-1].row(), flush=True)
    text = table(results)
    print(text.partition("\n")[0])
    if given.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

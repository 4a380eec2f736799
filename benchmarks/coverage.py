"""How much of the world is described: every architecture of transformers, opened, accounted for and recomputed.

    python -m benchmarks.coverage [--only TYPE ...] [--jobs N] [--out FILE.json] [--write]

Each model is small and random (`benchmarks.architectures`), nothing is downloaded. Of each it is asked: is every
parameter on a neuron's axis or named as no neuron's, and does what is recorded of at least three neurons of every layer
equal what the arrays and the inputs give. `--write` puts the table into docs/coverage.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import patchclamp as pc
from patchclamp.capture import Capture
from patchclamp.errors import KindError, PatchclampError, RunError
from patchclamp.heads import attended
from patchclamp.model import LayerInfo, Neurons, Population
from patchclamp.record import Several
from patchclamp.testing.footprint import Footprint
from patchclamp.verify import verify, verify_heads

from .architectures import NotBuilt, build
from .architectures.runner import run

SAMPLE = 3
"""How many neurons of each population are recomputed: the first, the last and one between."""
PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


@dataclass
class Covered:
    """What was found of one model type.

    layers      how each layer that holds arrays is known: stated, inferred, unknown
    accounted   parameters on a neuron's axis or named as no neuron's, of `parameters`
    neurons     how many were recomputed and hold
    silent      layers that this input does not run, or that give nothing to compare
    bare        layers with neurons and no formula
    heads       attention heads whose result is recomputed from their pattern and values
    unseen      attentions that cannot be looked into
    wrong       what does not hold, by address
    """

    model_type: str
    state: str = "measured"
    reason: str = ""
    cls: str = ""
    parameters: int = 0
    accounted: int = 0
    layers: dict[str, int] = field(default_factory=dict)
    neurons: int = 0
    silent: int = 0
    bare: int = 0
    heads: int = 0
    unseen: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: bool = False
    note: str = ""

    @property
    def good(self) -> bool:
        """Every parameter accounted for, everything that was recomputed right, nothing left behind."""
        whole = self.state == "measured" and self.accounted == self.parameters and self.neurons > 0
        return whole and not self.wrong and not self.left

    def line(self) -> str:
        if self.state != "measured":
            return f"{self.state:10}{self.model_type:42}{self.reason}"
        said = "good" if self.good else "WRONG" if self.wrong else "partly"
        return (
            f"{said:10}{self.model_type:42}{self.accounted:,} of {self.parameters:,} parameters, "
            f"{self.neurons} neurons, {self.heads} heads; {' '.join((*self.unknown[:3], *self.wrong[:3]))}"
        )


def measure(model_type: str) -> Covered:
    """Build one type, open it, and look at everything in it."""
    found = Covered(model_type)
    try:
        built = build(model_type)
        with torch.no_grad():
            built.model(**built.inputs)
    except NotBuilt as error:
        return Covered(model_type, "not built", str(error))
    except Exception as error:
        return Covered(model_type, "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    found.cls, found.note = type(built.model).__name__, built.note
    before, stored = Footprint.of(built.model), _bytes(built.model)
    net = pc.open(built.model)
    _account(net, found)
    _recompute(net, built.inputs, found)
    _look_at_heads(net, built.inputs, found)
    found.left = Footprint.of(built.model) != before or _bytes(built.model) != stored
    return found


def _bytes(model: torch.nn.Module) -> list[bytes]:
    return [value.detach().contiguous().view(torch.uint8).numpy().tobytes() for value in _plain(model)]


def _plain(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    return (value.reshape(-1) for value in (*model.parameters(), *model.buffers()) if value.numel())


def _account(net: Any, found: Covered) -> None:
    accounting = net.accounting()
    found.parameters, lost = accounting.total(), accounting.total("unknown")
    found.accounted = found.parameters - lost
    found.unknown = [entry.path for entry in accounting.unknown if entry.role == "parameter"]
    held = (layer.known for layer in net.model.layers.values() if layer.arrays)
    found.layers = dict(Counter(held))


@dataclass
class Careful(Capture):
    """A probe that gives up by itself where what a layer returns is not its neurons' own, and lets the others go on."""

    refused: str = ""

    def leave(self, output: Any) -> None:
        try:
            super().leave(output)
        except KindError as error:
            self.refused = error.message


def _sample(layer: LayerInfo, cells: Population) -> Neurons:
    count = len(cells)
    numbers = sorted({round(number) for number in np.linspace(0, count - 1, min(count, SAMPLE))})
    return Neurons(layer, cells, tuple(numbers))


def _recompute(net: Any, inputs: dict[str, Any], found: Covered) -> None:
    """One run with a probe on a sample of every population; then each is recomputed."""
    model = net.model
    probes: dict[str, Several] = {}
    for name, layer in model.layers.items():
        own = [cells for cells in layer.populations.values() if not cells.via and len(cells)]
        if own:
            samples = (_sample(layer, cells) for cells in own)
            probes[name] = Several([Careful(model.runner, layer, sample, whole_inputs=True) for sample in samples])
    try:
        model.runner.tap(probes, inputs)
    except PatchclampError as error:
        found.wrong.append(f"a recording of all layers: {error.message}"[:300])
        return
    for several in probes.values():
        for capture in several.captures:
            _check(model, capture, found)


def _check(model: Any, capture: Any, found: Covered) -> None:
    neurons = capture.neurons
    if capture.refused:
        found.bare += 1
        return
    if not capture.calls:
        found.silent += 1
        return
    try:
        check = verify(model, neurons, capture.calls)
    except KindError:
        found.bare += 1
    except RunError:
        found.silent += 1
    except Exception as error:
        found.wrong.append(f"{neurons.layer.name} ({neurons.layer.class_name}): {type(error).__name__}: {error}"[:300])
    else:
        found.neurons += len(neurons.numbers) if check else 0
        if not check:
            found.wrong.append(f"{check.address} ({neurons.layer.class_name}): {check.excess:.3g} times the tolerance")


def _look_at_heads(net: Any, inputs: dict[str, Any], found: Covered) -> None:
    for name, layer in net.model.layers.items():
        if layer.problem and layer.kind is not None and layer.kind.views:
            found.unseen.append(f"{name} ({layer.class_name}): {layer.problem}"[:200])
        if layer.heads:
            try:
                runs = attended(net.model, layer, inputs)
            except PatchclampError as error:
                found.unseen.append(f"{name} ({layer.class_name}): {error.message}"[:200])
                continue
            _check_heads(net, layer, inputs, runs, found)


def _check_heads(net: Any, layer: LayerInfo, inputs: dict[str, Any], runs: Sequence[Any], found: Covered) -> None:
    """Recompute the first and the last head, and see that the values of each head are those that it takes."""
    try:
        for number in sorted({0, layer.heads - 1}):
            head = net[f"{net[layer.name]}.head[{number}]"]
            if "output" in head.parts and not (check := verify_heads(net.model, head.output.neurons, runs)):
                found.wrong.append(f"{check.address} ({layer.class_name}): {check.excess:.3g} times the tolerance")
            if "value" in head.parts and len(runs) == 1 and (wrong := _mixed_up(net, layer, number, inputs, runs[0])):
                found.wrong.append(f"{layer.name}.head[{number}] ({layer.class_name}): {wrong}")
            found.heads += 1
    except RunError:
        found.unseen.append(f"{layer.name} ({layer.class_name}): its projections do not run")
    except Exception as error:
        found.wrong.append(f"{layer.name} heads ({layer.class_name}): {type(error).__name__}: {error}"[:300])


def _mixed_up(net: Any, layer: LayerInfo, number: int, inputs: dict[str, Any], run: Any) -> str:
    """Whether a head is said to hold values that it does not take, although some other head takes them."""
    value = net[f"{net[layer.name]}.head[{number}].value"]
    mine = np.sort(net.model.runner.numpy(net.record(inputs, [value], keep="output")[str(value)].output), axis=None)
    taken = [np.sort(net.model.runner.numpy(run.value[:, head]), axis=None) for head in range(run.value.shape[1])]
    here = number * len(taken) // layer.heads
    same = [head for head, other in enumerate(taken) if other.shape == mine.shape and np.array_equal(other, mine)]
    return f"its values are those of head {same[0]}" if same and here not in same else ""


def table(results: Sequence[Covered]) -> str:
    """The table of all types, under the totals."""
    measured = [result for result in results if result.state == "measured"]
    good = [result for result in measured if result.good]
    whole = [result for result in measured if result.accounted == result.parameters]
    states = Counter(result.state for result in results)
    import transformers

    head = [
        f"transformers {transformers.__version__}, torch {torch.__version__.partition('+')[0]}, "
        f"{datetime.now(UTC).date().isoformat()}.",
        "",
        f"- model types: {len(results)}; built and run: {len(measured)}; not built: {states['not built']}; "
        f"failed: {states['failed']}",
        f"- every parameter accounted for: {_share(whole, measured)}",
        f"- and every recomputed neuron right: {_share(good, measured)}",
        f"- with a wrong answer: {sum(bool(result.wrong) for result in measured)}; "
        f"with something left behind: {sum(result.left for result in measured)}",
        f"- layers with arrays: {_layers(measured)}",
        f"- neurons recomputed: {sum(r.neurons for r in measured):,}; heads: {sum(r.heads for r in measured):,}; "
        f"populations without a formula: {sum(r.bare for r in measured):,}; "
        f"not run by the input: {sum(r.silent for r in measured):,}",
        "",
        "| type | class | parameters | accounted | stated | unknown | neurons right | heads right | no formula "
        "| not run | wrong |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows = [
        f"| {r.model_type} | {r.cls} | {r.parameters:,} | {r.accounted / max(r.parameters, 1):.1%} | "
        f"{r.layers.get('stated', 0)} | {r.layers.get('unknown', 0)} | {r.neurons} | {r.heads} | {r.bare} | {r.silent} "
        f"| {len(r.wrong)} |"
        for r in measured
    ]
    missing = [
        f"| {r.model_type} | {r.state}: {r.reason.replace('|', '/')} |" for r in results if r.state != "measured"
    ]
    rest = ["", "| type | why not |", "|---|---|", *missing] if missing else []
    return "\n".join((*head, *rows, *rest))


def _share(some: Sequence[Covered], all_of: Sequence[Covered]) -> str:
    return f"{len(some)} of {len(all_of)} ({len(some) / max(len(all_of), 1):.1%})"


def _layers(measured: Sequence[Covered]) -> str:
    total: Counter[str] = Counter()
    for result in measured:
        total.update(result.layers)
    return ", ".join(f"{count:,} {known}" for known, count in total.most_common())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TYPE", help="these model types alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, help="write everything that was found as JSON")
    parser.add_argument("--write", action="store_true", help="write the table into docs/coverage.md")
    given = parser.parse_args(arguments)
    results = []
    for result in measured(given.only, given.jobs):
        print(result.line(), flush=True)
        results.append(result)
    results.sort(key=lambda result: result.model_type)
    text = table(results)
    print(text.partition("\n| type")[0])
    if given.out:
        given.out.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    if given.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return int(any(result.wrong or result.left for result in results))


def measured(only: Sequence[str] | None, jobs: int) -> Iterator[Covered]:
    """Every type in a process of its own, as they come."""
    from .architectures import names

    for result in run(only or names(), jobs, measure):
        yield result if isinstance(result, Covered) else Covered(result.model_type, result.state, result.reason)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

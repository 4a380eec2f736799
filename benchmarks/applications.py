"""Every architecture of keras.applications, random: opened, accounted for, and sampled neurons recomputed.

    python -m benchmarks.applications [--only NAME ...] [--jobs N] [--out FILE.json] [--write]

Nothing is downloaded: the weights are random, those too that Keras starts with zeros and ones (biases, scales,
statistics), and the input is the smallest that an architecture takes. Of each it is asked: is every parameter on a
neuron's axis or named as no neuron's, and does what is recorded of three neurons of every population of every layer
equal what the arrays and the inputs give. Each runs in a process of its own, on the backend that KERAS_BACKEND names,
torch by itself; what Keras does not build on torch runs on JAX then. `--write` puts the table into
docs/coverage-keras.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

import patchclamp as pc
from patchclamp.capture import Capture
from patchclamp.errors import KindError, PatchclampError, RunError
from patchclamp.model import LayerInfo, Neurons, Population
from patchclamp.record import Several
from patchclamp.verify import verify

SAMPLE = 3
"""How many neurons of each population are recomputed: the first, the last and one between."""
SIDES = (32, 48, 64, 71, 75, 96, 128, 224, 331)
"""Inputs that are tried, the smallest first."""
CLASSES = 10
MINUTES = 20
NOT_ON_TORCH = ("NASNetLarge", "NASNetMobile")
"""What Keras refuses to build on its torch backend."""
PAGE = Path(__file__).parent.parent / "docs" / "coverage-keras.md"
BEGIN, END = "<!-- applications: begin -->", "<!-- applications: end -->"


@dataclass
class Covered:
    """What was found of one architecture.

    side        of the square images that it was run on
    layers      how each layer that holds arrays is known: stated, inferred, unknown
    accounted   parameters on a neuron's axis or named as no neuron's, of `parameters`, which are all that Keras trains
    neurons     how many were recomputed and hold
    inner       populations that work inside their layer, whose own output depends on them: recomputed with it
    silent      populations that the input does not run; `bare`: that have no formula
    wrong       what does not hold, by address
    """

    name: str
    reason: str = ""
    backend: str = ""
    side: int = 0
    parameters: int = 0
    accounted: int = 0
    layers: dict[str, int] = field(default_factory=dict)
    neurons: int = 0
    inner: int = 0
    silent: int = 0
    bare: int = 0
    unknown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: bool = False

    @property
    def good(self) -> bool:
        whole = not self.reason and self.accounted == self.parameters > 0 and self.neurons > 0
        return whole and not self.wrong and not self.left

    def line(self) -> str:
        if self.reason:
            return f"failed    {self.name:22}{self.reason}"
        said = "good" if self.good else "WRONG" if self.wrong or self.left else "partly"
        return (
            f"{said:10}{self.name:22}{self.side:4}  {self.accounted:,} of {self.parameters:,} parameters, "
            f"{self.neurons} neurons; {' '.join((*self.unknown[:3], *self.wrong[:3]))}"
        )


def names() -> list[str]:
    """Every architecture that keras.applications has."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def built(name: str, **options: Any) -> tuple[Any, int]:
    """An architecture with random weights, for the smallest images that it takes."""
    make = getattr(keras.applications, name)
    for side in SIDES:
        try:
            return make(weights=None, input_shape=(side, side, 3), classes=CLASSES, **options), side
        except ValueError as error:
            said = error
    raise said


def _moved(model: Any) -> None:
    """Move the biases, scales and statistics, which all start with zeros and ones, so that each tells in what is
    computed."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        floats = "float" in str(variable.dtype)
        if floats and len(variable.shape) == 1:
            numbers = keras.ops.convert_to_numpy(variable.value)
            noise = 0.1 * rng.standard_normal(numbers.shape)
            variable.assign(numbers * (1 + abs(noise)) + (0 if "variance" in variable.name else noise))


def measure(name: str, **options: Any) -> Covered:
    """Build one, open it, and look at everything in it. `options` are for its function (`alpha=0.25`)."""
    keras.utils.set_random_seed(0)
    model, side = built(name, **options)
    _moved(model)
    found = Covered(name, backend=keras.config.backend(), side=side)
    x = np.random.default_rng(0).random((1, side, side, 3)).astype("float32")
    before = _standing(model), _digest(model)
    net = pc.open(model)
    accounting = net.accounting()
    found.parameters = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    found.accounted = accounting.total() - accounting.total("unknown")
    found.unknown = [entry.path for entry in accounting.unknown]
    found.layers = dict(Counter(layer.known for layer in net.model.layers.values() if layer.arrays))
    _recompute(net.model, x, found)
    found.left = (_standing(model), _digest(model)) != before
    return found


def _standing(model: Any) -> list[Any]:
    """What stands on every layer: its class and the very objects in its attributes."""
    layers = model._flatten_layers()
    return [(type(layer), {name: id(value) for name, value in vars(layer).items()}) for layer in layers]


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for variable in model.variables:
        numbers: Any = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
        digest.update(numbers)
    return digest.hexdigest()


class Careful(Capture):
    """A probe that gives up by itself where what a layer returns is not its neurons' own, and lets the others go on."""

    refused = ""

    def leave(self, output: Any) -> None:
        try:
            super().leave(output)
        except KindError as error:
            self.refused = error.message


def _sample(layer: LayerInfo, cells: Population) -> Neurons:
    count = len(cells)
    numbers = sorted({round(number) for number in np.linspace(0, count - 1, min(count, SAMPLE))})
    return Neurons(layer, cells, tuple(numbers))


def _recompute(model: Any, x: Any, found: Covered) -> None:
    """One run with a probe on a sample of every population; then each is recomputed."""
    probes: dict[str, Several] = {}
    for name, layer in model.layers.items():
        own = [cells for cells in layer.populations.values() if not cells.via and len(cells)]
        if own:
            samples = (_sample(layer, cells) for cells in own)
            probes[name] = Several([Careful(model.runner, layer, sample, whole_inputs=True) for sample in samples])
    try:
        model.runner.tap(probes, x)
    except PatchclampError as error:
        found.wrong.append(f"a recording of all layers: {error.message}"[:300])
        return
    for several in probes.values():
        for capture in several.captures:
            _check(model, capture, found)


def _check(model: Any, capture: Any, found: Covered) -> None:
    neurons = capture.neurons
    if capture.refused:
        whole = neurons.layer.main
        found.inner += whole is not None and neurons.population is not whole
        found.bare += neurons.population is whole
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


def measured(only: Sequence[str] | None, jobs: int) -> Iterator[Covered]:
    """Every architecture in a process of its own, as they come."""
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed(pool.submit(_apart, name) for name in only or names()):
            yield done.result()


def _apart(name: str) -> Covered:
    command = [sys.executable, "-m", "benchmarks.applications", "--one", name]
    backend = keras.config.backend()
    around = {**os.environ, "KERAS_BACKEND": "jax" if backend == "torch" and name in NOT_ON_TORCH else backend}
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, check=False, env=around)
    except subprocess.TimeoutExpired:
        return Covered(name, f"it ran for {MINUTES} minutes")
    if ran.returncode:
        return Covered(name, (ran.stderr.strip() or f"the process ended with code {ran.returncode}").splitlines()[-1])
    return Covered(**json.loads(ran.stdout.splitlines()[-1]))


def table(results: Sequence[Covered]) -> str:
    """The table of all architectures, under the totals."""
    ran = [result for result in results if not result.reason]
    whole = [result for result in ran if result.accounted == result.parameters]
    layers: Counter[str] = Counter()
    for result in ran:
        layers.update(result.layers)
    lines = [
        f"Keras {keras.__version__}, {datetime.now(UTC).date().isoformat()}; on {_backends(ran)}.",
        "",
        f"- architectures: {len(results)}; built and run: {len(ran)}",
        f"- every parameter accounted for: {len(whole)} of {len(ran)}",
        f"- and every recomputed neuron right: {sum(result.good for result in ran)} of {len(ran)}",
        f"- with a wrong answer: {sum(bool(result.wrong) for result in ran)}; "
        f"with something left behind: {sum(result.left for result in ran)}",
        f"- layers with arrays: {', '.join(f'{count:,} {known}' for known, count in layers.most_common())}",
        f"- neurons recomputed: {sum(result.neurons for result in ran):,}; "
        f"populations without a formula: {sum(result.bare for result in ran):,}; "
        f"inside of a layer: {sum(result.inner for result in ran):,}; "
        f"not run by the input: {sum(result.silent for result in ran):,}",
        "",
        "| architecture | backend | input | parameters | accounted | stated | unknown | neurons right | inside "
        "| no formula | not run | wrong |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *map(_row, ran),
    ]
    missing = [f"| {result.name} | {result.reason.replace('|', '/')} |" for result in results if result.reason]
    return "\n".join((*lines, *(["", "| architecture | why not |", "|---|---|", *missing] if missing else [])))


def _backends(ran: Sequence[Covered]) -> str:
    """On what Keras computed: the backend of most, and what ran on another."""
    most = Counter(result.backend for result in ran).most_common()
    others = (f"{', '.join(one.name for one in ran if one.backend == name)} on {name}" for name, _ in most[1:])
    return "; ".join([most[0][0] if most else "nothing", *others])


def _row(result: Covered) -> str:
    share = result.accounted / max(result.parameters, 1)
    return (
        f"| {result.name} | {result.backend} | {result.side} | {result.parameters:,} | {share:.1%} | "
        f"{result.layers.get('stated', 0)} | {result.layers.get('unknown', 0)} | {result.neurons} | {result.inner} | "
        f"{result.bare} | {result.silent} | {len(result.wrong)} |"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.applications", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these architectures alone")
    parser.add_argument("--one", metavar="NAME", help="this one, here; what was found as one line of JSON")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, help="write everything that was found as JSON")
    parser.add_argument("--write", action="store_true", help="write the table into docs/coverage-keras.md")
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(asdict(measure(given.one))))
        return 0
    results = []
    for result in measured(given.only, given.jobs):
        print(result.line(), flush=True)
        results.append(result)
    results.sort(key=lambda result: result.name)
    text = table(results)
    print(text.partition("\n| architecture")[0])
    if given.out:
        given.out.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    if given.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return int(not all(result.good for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Is a neuron of a file that of the live network: every architecture of transformers, saved in pieces and opened.

    python -m benchmarks.trees [--only TYPE ...] [--jobs N] [--out FILE.json]

Each model is small and random (`benchmarks.architectures`), saved by `save_pretrained` in several files, and opened
with the class tree that its config.json names (`pc.open(folder, tree=True)`). Of every array of every population a few
neurons are read in both, and must have the same bits.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

import patchclamp as pc
from patchclamp.model import LayerInfo, Population

from .architectures import NotBuilt, build, names
from .architectures.runner import run

SAMPLE = 3


@dataclass
class Agreed:
    """What was compared of one model type.

    neurons   how many arrays of neurons were read in both and have the same bits
    absent    arrays that the file does not hold, and whose neurons cannot be compared
    wrong     what differs, by address
    """

    model_type: str
    state: str = "measured"
    reason: str = ""
    neurons: int = 0
    absent: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return self.state == "measured" and self.neurons > 0 and not self.wrong

    def line(self) -> str:
        if self.state != "measured":
            return f"{self.state:10}{self.model_type:42}{self.reason}"
        said = "good" if self.good else "WRONG"
        return f"{said:10}{self.model_type:42}{self.neurons} equal, {self.absent} absent; {' '.join(self.wrong[:3])}"


def compare(model_type: str) -> Agreed:
    """Build one type, save it, open it with its tree, and compare."""
    found = Agreed(model_type)
    try:
        built = build(model_type)
    except NotBuilt as error:
        return Agreed(model_type, "not built", str(error))
    except Exception as error:
        return Agreed(model_type, "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            transformers_logging.disable_progress_bar()
            built.model.save_pretrained(folder, max_shard_size="40kB")
        except Exception as error:
            return Agreed(model_type, "not saved", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        try:
            stored = pc.open(folder, tree=True).model
        except pc.PatchclampError as error:
            return Agreed(model_type, "no tree", error.message[-300:])
        found.notes = tuple(stored.notes)
        for address in differences(pc.open(built.model).model, stored, found):
            found.wrong.append(address)
    return found


def differences(live: Any, stored: Any, found: Agreed) -> Iterator[str]:
    """The addresses whose numbers differ, or that one of the two does not have."""
    draw = random.Random(0)
    for name, layer in live.layers.items():
        other: LayerInfo | None = stored.layers.get(name)
        if other is None and layer.populations:
            yield f"{name}: no such layer"
        if other is None:
            continue
        for cells, population in layer.populations.items():
            theirs = other.populations.get(cells)
            if theirs is None or [a.size for a in theirs.axes] != [a.size for a in population.axes]:
                yield f"{name}.{cells}: no such neurons"
            else:
                yield from _unlike(name, population, theirs, draw, found)


def _unlike(name: str, mine: Population, theirs: Population, draw: random.Random, found: Agreed) -> Iterator[str]:
    held = {(one.word, one.array.path): one for one in theirs.placed}
    for placed in mine.placed:
        other = held.get((placed.word, placed.array.path))
        if placed.array.role == "computed" or len(mine) == 0:
            continue
        if other is None:
            found.absent += 1
            continue
        for number in {0, len(mine) - 1, *(draw.randrange(len(mine)) for _ in range(SAMPLE))}:
            coords = {**mine.coords(number), **{facet.name: facet.size - 1 for facet in mine.facets}}
            key, again = placed.layout.key(coords), other.layout.key(coords)
            try:
                equal = key == again and bits(placed.array.read(key)) == other.array.read(key).data
            except pc.KindError:
                found.absent += 1
                continue
            if not equal:
                yield f"{name} {placed.word} {number}"
            found.neurons += equal


def bits(value: torch.Tensor) -> bytes:
    """The bytes of a tensor in C order."""
    return bytes(
        value.detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        .reshape(-1)
        .view(torch.uint8)
        .numpy()
        .tobytes()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    results: list[Agreed] = []
    for result in run(options.only or names(), options.jobs, compare):
        shown = result if isinstance(result, Agreed) else Agreed(result.model_type, "failed", result.reason)
        results.append(shown)
        print(shown.line(), flush=True)
    states = Counter("good" if one.good else one.state if one.state != "measured" else "WRONG" for one in results)
    print(f"{dict(states)}; {sum(one.neurons for one in results):,} neurons' arrays equal")
    if options.out:
        with open(options.out, "w") as file:
            json.dump([asdict(one) for one in results], file, indent=1)
    return 0 if not states["WRONG"] else 1


if __name__ == "__main__":
    sys.exit(main())

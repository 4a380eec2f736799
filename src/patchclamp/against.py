"""Does a file hold the numbers of a live network? Bit for bit, neuron by neuron.

Arrays of one name are compared by their bytes. Where the file has other names or another order of axes, its neurons are
read by their own lines; where it is packed, its decoded numbers are compared in the live network's element type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .beside import Aligned, blocks
from .difference import rounded
from .errors import AddressError
from .frozen import dataclass
from .locate import find
from .matched import Apart, aligned, match_layers
from .model import LayerInfo, Model, Neurons
from .read import Held, held

__all__ = ["Compared", "against"]

MOST = 1 << 18
"""How many numbers are compared at once."""
_DECODED = "stored as"
"""What the note of an array begins with whose stored numbers are packed."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One array, or one neuron's part of it: `said` is how it differs, else empty; `how` it was compared."""

    name: str
    said: str = ""
    how: str = ""


def against(file: Model, live: Model, address: str) -> Iterator[Compared]:
    """Compare what an address of the file means with the same of the live network. Raises as `locate.find` does."""
    parsed = file.addresses.parse(address)
    pairs = dict(match_layers(file, live).pairs)
    if not parsed.steps and not parsed.position:
        for name in file.addresses.match(parsed):
            yield from _layers(file, live, name, pairs.get(name, ""))
        if file.addresses.is_glob(parsed):
            yield from _missing(file, live, address, set(pairs.values()))
        return
    for neurons in find(file, parsed):
        yield from _neurons(file, live, neurons, pairs)


def _layers(file: Model, live: Model, name: str, twin: str) -> Iterator[Compared]:
    """Every array of a layer."""
    ours = file.layers[name]
    if name and not twin and name not in live.layers:
        for array in ours.arrays:
            yield Compared(array.path, f"{array.path} (only in the file)")
        return
    for found in aligned((file, live), ours, live.layers[twin or name]):
        if isinstance(found, Apart):
            yield from _apart(file, live, found)
        elif found.arrays[1].role != "computed":
            yield _array(found, None)


def _missing(file: Model, live: Model, address: str, paired: set[str]) -> Iterator[Compared]:
    """What a glob means in the live network and the file does not hold."""
    try:
        names = live.addresses.match(live.addresses.parse(address))
    except AddressError:
        return
    for name in names:
        for array in live.layers[name].arrays if name not in paired and name not in file.layers else ():
            yield from _apart(file, live, Apart(array.path, "only in b"))


def _apart(file: Model, live: Model, found: Apart) -> Iterator[Compared]:
    """An array that one of them lacks; not where it is stored once, under the name that it is tied to, or never."""
    array = live.arrays.get(found.name)
    tied = array is not None and any(path in file.arrays for path in array.tied)
    if not tied and not (array is not None and (array.role == "computed" or array.unsaved)):
        where = {"only in a": "only in the file", "only in b": "only in the live network"}
        yield Compared(found.name, f"{found.name} ({where.get(found.reason, found.reason)})")


def _neurons(file: Model, live: Model, neurons: Neurons, pairs: dict[str, str]) -> Iterator[Compared]:
    """Every array of some neurons: only their parts are read where the arrays have the same names."""
    theirs = live.layers.get(pairs.get(neurons.layer.name, neurons.layer.name))
    cells = theirs.populations.get(neurons.population.name) if theirs is not None else None
    if theirs is None or cells is None or len(cells) != len(neurons.population):
        yield Compared(neurons.layer.name, f"{neurons.layer.name} (only in the file, or with other neurons)")
        return
    twin = Neurons(theirs, cells, neurons.numbers, neurons.fixed, neurons.position, neurons.single)
    if neurons.population.via or _same_words(neurons, twin):
        for number in neurons.numbers:
            yield from _neuron(file, live, neurons, twin, number)
        return
    chosen = {number: f"{neurons.population.noun} {number}" for number in neurons.numbers}
    for found in aligned((file, live), neurons.layer, theirs):
        if isinstance(found, Aligned) and found.cells is neurons.population:
            yield _array(found, chosen)
        elif isinstance(found, Apart):
            yield from _apart(file, live, found)


def _same_words(one: Neurons, other: Neurons) -> bool:
    lines = [{(p.word, p.layout.line) for p in neurons.population.placed} for neurons in (one, other)]
    return lines[0] == lines[1] or not _counterparts(one.layer, other.layer)


def _counterparts(one: LayerInfo, other: LayerInfo) -> bool:
    """Whether both say what they are, in different ways: then their lines can be held against each other."""
    return one.known == other.known == "stated"


def _neuron(file: Model, live: Model, ours: Neurons, theirs: Neurons, number: int) -> Iterator[Compared]:
    mine, other = ({part.word: part for part in held(neurons, number)} for neurons in (ours, theirs))
    for word in dict.fromkeys((*mine, *other)):
        name = f"{(mine.get(word) or other[word]).placed.array.path} of {ours.population.noun} {number}"
        if word not in mine and any(path in file.arrays for path in other[word].placed.array.tied):
            continue
        if word not in mine or word not in other:
            yield Compared(name, f"{name} (only in {'the file' if word in mine else 'the live network'})")
        else:
            same, how = _parts(file, live, mine[word], other[word])
            types = f" ({mine[word].dtype} in the file, {other[word].dtype} in the live network)"
            alike = how or mine[word].dtype == other[word].dtype
            yield Compared(name, "" if same else f"{name}{'' if alike else types}", how)


def _parts(file: Model, live: Model, mine: Held, other: Held) -> tuple[bool, str]:
    """Whether one neuron has the same numbers in an array of both."""
    if mine.shape != other.shape:
        return False, ""
    x, y = mine.read(), other.read()
    if mine.dtype == other.dtype:
        return file.keeper.raw(x) == live.keeper.raw(y), ""
    if not mine.placed.array.note.startswith(_DECODED):
        return False, ""
    numbers = np.array(list(x.flat()), dtype=np.float64)
    return _decoded_as(numbers, np.asarray(live.runner.numpy(y), dtype=np.float64).reshape(-1), other.dtype)


def _decoded_as(x: Any, y: Any, dtype: str) -> tuple[bool, str]:
    return bool(_equal(rounded(x, dtype), y).all()), f"decoded numbers were compared as {dtype}"


def _equal(x: Any, y: Any) -> Any:
    return (x == y) | (np.isnan(x) & np.isnan(y))


def _array(found: Aligned, chosen: dict[int, str] | None) -> Compared:
    """Compare a whole array of both, or the part of some neurons, in blocks."""
    (one, other), name = found.arrays, found.arrays[0].path
    if one.dtype != other.dtype and not one.note.startswith(_DECODED):
        return Compared(name, f"{name} ({one.dtype} in the file, {other.dtype} in the live network)")
    if one.dtype == other.dtype and not found.crossed and chosen is None:
        return Compared(name, "" if _same_bytes(found) else name)
    how = "neuron by neuron" if found.crossed else f"decoded numbers were compared as {other.dtype}"
    bad: set[int] = set()
    for numbers, x, y in found.blocks():
        wide = [values.astype(np.float64) for values in (x, y)]
        x = wide[0] if one.dtype == other.dtype else rounded(wide[0], other.dtype)
        bad.update(numbers[~_equal(x, wide[1]).all(1)].tolist())
    wrong = sorted(bad if chosen is None else bad & chosen.keys())
    return Compared(name, f"{name} of {_few(found, wrong)}" if wrong else "", how)


def _few(found: Aligned, numbers: Sequence[int]) -> str:
    noun = found.cells.noun if found.cells is not None else "number"
    more = f" and {len(numbers) - 4:,} more" if len(numbers) > 4 else ""
    return f"{noun} {', '.join(map(str, numbers[:4]))}{more}"


def _same_bytes(found: Aligned) -> bool:
    one, other = found.arrays
    keys: Iterator[Any] = blocks(one.shape, MOST) if 0 not in one.shape else iter(())
    raws = [model.keeper.raw for model in found.models]
    return all(raws[0](one.read(key)) == raws[1](other.read(key)) for key in keys)

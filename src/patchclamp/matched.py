"""The same neurons in two networks: which layers and which of their arrays belong together.

Two networks may be a live one and a file, or files of two formats. Arrays of one name, shape and meaning are compared
as they are stored. Where they differ, a Keras kernel `in neuron` beside a torch weight `neuron in`, both are read by
what their lines say, so that neuron 3 meets neuron 3 whatever the order of axes and gates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .axes import Product, Sum, Term
from .beside import Aligned, labels, others
from .frozen import dataclass
from .model import LayerInfo, Model, Placed, Population

__all__ = ["Apart", "Matches", "aligned", "match_layers"]

_ROLES = (
    {"weight", "kernel", "depthwise_kernel", "embeddings", "embedding", "gamma", "scale"},
    {"bias", "beta"},
    {"running_mean", "moving_mean", "mean"},
    {"running_var", "moving_variance", "var"},
    {"weight_ih", "kernel"},
    {"weight_hh", "recurrent_kernel"},
)
"""Words for one thing in the kinds of different frameworks."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Which layers of two networks belong together. In `longer`, a or b, `prefix` stands before the names."""

    pairs: tuple[tuple[str, str], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    prefix: str = ""
    longer: str = ""

    @property
    def rule(self) -> str:
        """How they were found, in words."""
        if not self.prefix:
            return "layers are matched by name"
        return f"layers are matched by name, where {self.longer} has {self.prefix!r} before the names"


def match_layers(a: Model, b: Model) -> Matches:
    """Layers of the same name; of the rest those whose names differ by one prefix, the same for all of them."""
    names_a, names_b = _holding(a), _holding(b)
    pairs = [(name, name) for name in names_a if name in names_b]
    rest_a = [name for name in names_a if name not in names_b]
    rest_b = [name for name in names_b if name not in names_a]
    prefix, longer = max((*_prefixes(rest_a, rest_b, "a"), *_prefixes(rest_b, rest_a, "b"), (0, "", "")))[1:]
    if prefix:
        there = set(rest_b if longer == "a" else rest_a)
        for name in rest_a if longer == "a" else rest_b:
            short = name.removeprefix(prefix)
            if name.startswith(prefix) and short in there:
                pairs.append((name, short) if longer == "a" else (short, name))
    done_a, done_b = {one for one, _ in pairs}, {other for _, other in pairs}
    only_a = tuple(name for name in rest_a if name not in done_a)
    return Matches(tuple(pairs), only_a, tuple(name for name in rest_b if name not in done_b), prefix, longer)


def _holding(model: Model) -> dict[str, None]:
    return {name: None for name, layer in model.layers.items() if layer.arrays}


def _prefixes(longer: Sequence[str], shorter: Sequence[str], which: str) -> Iterator[tuple[int, str, str]]:
    """Every prefix that makes names of the one into names of the other: how many, itself."""
    there, found = set(shorter), Counter[str]()
    for name in longer:
        words = name.split(".")
        for cut in range(1, len(words)):
            if ".".join(words[cut:]) in there:
                found[".".join(words[:cut]) + "."] += 1
    return ((count, prefix, which) for prefix, count in found.items())


@dataclass(frozen=True, slots=True)
class Apart:
    """What cannot be compared: an array or a layer, and why."""

    name: str
    reason: str


def aligned(models: tuple[Model, Model], one: LayerInfo, other: LayerInfo) -> Iterator[Aligned | Apart]:
    """The arrays of two layers that belong together; what has no counterpart, with the reason."""
    guide = other if _sure(other) > _sure(one) else one
    sure = min(_sure(one), _sure(other))
    crossed = sure == 2 or (sure == 1 and _differently_named(one, other))
    same = guide if _alike(one, other) or not crossed else None
    done: set[str] = set()
    if same is not None:
        yield from _by_name(models, same, one, other, done)
    else:
        yield from _by_neuron(models, one, other, done)
    described = one.described | other.described
    left_a, left_b = ({a.name: a for a in layer.arrays if a.name not in done} for layer in (one, other))
    for name, array in left_a.items():
        twin = left_b.pop(name, None)
        if twin is None:
            yield Apart(array.path, "only in a")
        elif twin.shape != array.shape:
            yield Apart(array.path, f"shapes differ: {array.shape} and {twin.shape}")
        elif name not in described:
            yield Aligned(guide, None, name, (array, twin), models)
    for array in left_b.values():
        yield Apart(array.path, "only in b")


def _sure(layer: LayerInfo) -> int:
    return {"stated": 2, "inferred": 1}.get(layer.known, 0) if layer.kind is not None else 0


def _differently_named(one: LayerInfo, other: LayerInfo) -> bool:
    """Whether each calls an array by a word that the other has not, as `kernel` and `weight`: then they can only be
    held against each other by what the words mean."""
    words = [{p.word for cells in layer.populations.values() for p in cells.placed} for layer in (one, other)]
    return bool(words[0] - words[1]) and bool(words[1] - words[0])


def _alike(one: LayerInfo, other: LayerInfo) -> bool:
    """Whether the lines of both layers are the same, but for arrays that only one of them has."""
    lines = [
        {(name, p.array.name): p.layout.line for name, cells in layer.populations.items() for p in cells.placed}
        for layer in (one, other)
    ]
    shared = lines[0].keys() & lines[1].keys()
    subset = shared in (lines[0].keys(), lines[1].keys())
    return bool(shared) and subset and all(lines[0][key] == lines[1][key] for key in shared)


def _by_name(
    models: tuple[Model, Model], guide: LayerInfo, one: LayerInfo, other: LayerInfo, done: set[str]
) -> Iterator[Aligned | Apart]:
    """Arrays of one name and shape, in the order in which they are stored."""
    ours, theirs = ({array.name: array for array in layer.arrays} for layer in (one, other))
    own = {array.path for array in guide.arrays}
    for cells in guide.populations.values():
        for placed in cells.placed if not cells.via else ():
            name = placed.array.name
            if placed.array.path not in own:
                continue  # a part of the layer stores it, and is a layer itself
            if name in ours and name in theirs and ours[name].shape == theirs[name].shape == placed.array.shape:
                done.add(name)
                yield Aligned(guide, cells, placed.word, (ours[name], theirs[name]), models, (placed, placed))


def _by_neuron(
    models: tuple[Model, Model], one: LayerInfo, other: LayerInfo, done: set[str]
) -> Iterator[Aligned | Apart]:
    """Arrays of one meaning, neuron by neuron."""
    for name, cells in one.populations.items():
        twin = other.populations.get(name)
        if cells.via or twin is None or twin.via:
            continue
        if _extent(cells) != _extent(twin):
            yield Apart(one.name, f"it has {len(cells)} {cells.noun}s in a and {len(twin)} in b")
            done.update(p.array.name for p in (*cells.placed, *twin.placed))
            continue
        for placed in cells.placed:
            match = _counterpart(placed, cells, twin)
            if match is None or placed.array not in one.arrays:
                continue
            done.update((placed.array.name, match.array.name))
            if reason := _misfit(placed, match, cells, twin):
                yield Apart(placed.array.path, reason)
            else:
                arrays = (placed.array, match.array)
                yield Aligned(one, cells, placed.word, arrays, models, (placed, match), crossed=True)


def _extent(cells: Population) -> list[int]:
    return [axis.size for axis in cells.axes if axis.size != 1]


def _counterpart(placed: Placed, cells: Population, twin: Population) -> Placed | None:
    """The array of the other population with that word, else the only one of its meaning."""
    here = [p for p in twin.placed if p.word == placed.word]
    if not here:
        words = next((r for r in _ROLES if placed.word in r and any(p.word in r for p in twin.placed)), set[str]())
        here = [p for p in twin.placed if p.word in words]
        if sum(p.word in words for p in cells.placed) != len(here):
            return None
    here = [p for p in here if {k: v for k, v in p.at.items() if v} == {k: v for k, v in placed.at.items() if v}]
    return here[0] if len(here) == 1 else None


def _misfit(one: Placed, other: Placed, cells: Population, twin: Population) -> str:
    """Why two arrays cannot be laid side by side; empty where they can."""
    if any(isinstance(t, Sum) or _has_sum(t) for t in (*one.layout.terms, *other.layout.terms)):
        return f"the lines {one.layout.line} and {other.layout.line} cannot be matched"
    mine, theirs = others(one.layout, cells), others(other.layout, twin)
    if {name: size for name, size in mine.items() if size != 1} != {n: s for n, s in theirs.items() if s != 1}:
        return f"shapes differ: {one.array.shape} as {one.layout.line}, {other.array.shape} as {other.layout.line}"
    labels_a, labels_b = labels(one.layout), labels(other.layout)
    for name in labels_a.keys() & labels_b.keys():
        if sorted(labels_a[name]) != sorted(labels_b[name]):
            return f"the {name}s have other names: {' '.join(labels_a[name])} and {' '.join(labels_b[name])}"
    return ""


def _has_sum(term: Term) -> bool:
    return isinstance(term, Product) and any(isinstance(item, Sum) or _has_sum(item) for item in term.items)

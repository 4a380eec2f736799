"""What a network is, as data: layers, their arrays, and the populations of neurons that the arrays describe.

Nothing here holds numbers or knows a framework: an adapter makes a `Model` from what it opens, the acts read it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from .address import Addresses
from .arrays import Array
from .axes import Axis, Line, Size
from .errors import AddressError, AxisError, EditError
from .frozen import dataclass, field, replace
from .kinds.row import Kind, Part, Place
from .layout import Layout, fit

__all__ = ["NOT_STATED", "AxisSize", "LayerInfo", "Model", "Neurons", "Placed", "Population", "describe"]


LEADING = frozenset({"head", "kv", "expert", "block"})
"""Axes that hold whole groups of neurons, which an address names: `attn.head[4].query[9]`, `experts[2][7]`."""
NOT_STATED = "not stated in the file"
"""The class name of a layer that a file says nothing of, and whose names and shapes suggest no kind."""


@dataclass(frozen=True, slots=True)
class AxisSize:
    """A neuron axis or a facet with its length, and labels where its coordinates have names."""

    name: str
    size: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Placed:
    """One stored array in a population: the word people use, its layout, and where on the places it stands."""

    word: str
    array: Array
    layout: Layout
    at: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one sort in a layer. A neuron's number is the row-major flattening of its `axes`.

    `fixed` are coordinates that all of them share (the part of a packed axis). `via` names the layer that holds and
    runs them, where this one only gives them other names (views.py): the queries of an attention are rows of a
    projection; `packed` is then how they lie among that layer's neurons, or among what it reads (`side` "in").
    """

    name: str
    noun: str
    axes: tuple[AxisSize, ...]
    facets: tuple[AxisSize, ...]
    placed: tuple[Placed, ...]
    fixed: Mapping[str, int] = field(default_factory=dict)
    via: str = ""
    packed: Layout | None = None
    side: str = "out"

    def __len__(self) -> int:
        return math.prod(axis.size for axis in self.axes)

    @cached_property
    def lead(self) -> tuple[AxisSize, ...]:
        """The axes that an address says before the neuron: which head, which expert."""
        return self.axes[:-1] if self.axes and self.axes[0].name in LEADING else ()

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The names of its arrays, each once (a stack of layers holds several arrays of one name)."""
        return tuple(dict.fromkeys(placed.word for placed in self.placed))

    @cached_property
    def strides(self) -> Mapping[str, int]:
        sizes = [axis.size for axis in self.axes]
        return {axis.name: math.prod(sizes[i + 1 :]) for i, axis in enumerate(self.axes)}

    def coords(self, number: int) -> dict[str, int]:
        """The coordinate of a neuron number on the neuron axes."""
        found = {axis.name: number // (self.strides[axis.name] or 1) % (axis.size or 1) for axis in self.axes}
        return {**found, **self.fixed} if self.fixed else found

    def find(self, word: str, coords: Mapping[str, int]) -> Placed | None:
        """The stored array of that word at those places; None if the layer has none there (a bias switched off)."""
        for placed in self.placed:
            if placed.word == word and all(coords.get(axis, number) == number for axis, number in placed.at.items()):
                return placed
        return None


@dataclass(frozen=True, eq=False)
class LayerInfo:
    """One layer. `known`: "stated" (its class or the file says its kind), "inferred", "unknown", or "" (no arrays)."""

    name: str
    class_name: str
    kind: Kind | None
    known: str
    arrays: tuple[Array, ...]
    populations: Mapping[str, Population] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    own_forward: bool = False

    @property
    def main(self) -> Population | None:
        """The population that a bare index means; None where the layer has none, or only names for those of others."""
        return next((cells for cells in self.populations.values() if not cells.via), None)

    @cached_property
    def heads(self) -> int:
        """How many heads it has, if it is an attention; keys and values may have fewer, each serving several."""
        leads = (cells.lead for cells in self.populations.values() if cells.name)
        return max((math.prod(a.size for a in lead) for lead in leads if lead and lead[0].name != "expert"), default=0)

    @cached_property
    def described(self) -> frozenset[str]:
        """The names of the arrays that lie on a neuron axis."""
        return frozenset(placed.array.name for cells in self.populations.values() for placed in cells.placed)


@dataclass(frozen=True, eq=False)
class Neurons:
    """Some neurons of one population, in order. `fixed` holds facets (a gate); `position` one place on the map."""

    layer: LayerInfo
    population: Population
    numbers: Sequence[int]
    fixed: Mapping[str, int] = field(default_factory=dict)
    position: tuple[int, ...] = ()
    single: bool = False

    @property
    def whole(self) -> bool:
        """Whether these are all the neurons of the population, in order."""
        return self.numbers == range(len(self.population))

    @cached_property
    def places(self) -> dict[str, Any]:
        """Where their arrays lie, by the word that was asked for: kept by what finds it."""
        return {}

    def coords(self, number: int) -> dict[str, int]:
        """Every coordinate that an array key needs: neuron axes, facets, position."""
        found = {**self.population.coords(number), **self.fixed}
        found.update({f"at{i}": place for i, place in enumerate(self.position)})
        return found


@dataclass(frozen=True, eq=False)
class Model:
    """A network: every layer by name in the network's own order, and the runner if it can run.

    `aliases` are longer names of layers, as wrappers around the network have them (`module.conv1`), and the names that
    a file has for them. `notes` are what people should know of the whole: what a file holds that is not read. `kept` is
    what runs have shown of it and is held on to: its wiring.
    """

    source: str
    framework: str
    layers: Mapping[str, LayerInfo]
    runner: Any = None
    keeper: Any = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def ledger(self) -> Any:
        """A fresh ledger for an edit. Raises EditError where the network's numbers cannot be written."""
        if self.keeper is None:
            raise EditError(f"{self.source} cannot be edited")
        return self.keeper.ledger()

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """Every stored array by its path."""
        return {array.path: array for layer in self.layers.values() for array in layer.arrays}

    @cached_property
    def addresses(self) -> Addresses:
        return Addresses(self.layers, self.aliases)

    def layer(self, name: str) -> LayerInfo:
        return self.layers[self.addresses.parse(name).layer]


Find: TypeAlias = Callable[[str], Array | None]


def describe(layer: LayerInfo, attribute: Callable[[str], Any], inside: Find | None = None) -> LayerInfo:
    """Fit a layer's kind to its arrays: the same layer with populations, sizes and config.

    `attribute` reads what a kind asks of the layer (`groups`, `stride`); `inside` finds an array that a part of the
    layer holds, by its name from here on. Where the lines do not fit the stored shapes the layer is returned as
    unknown, with the misfit as its `problem`: never guessed.
    """
    kind = layer.kind
    if kind is None:
        return layer
    try:
        sizes = stated_sizes(kind, attribute)
        found = _populations(kind, _finder(layer, inside), sizes)
        populations = {name: cells for name, cells in found if cells.placed or (name == "" and cells.axes)}
    except AxisError as error:
        known = "unknown" if layer.arrays else ""
        return replace(layer, kind=None, known=known, problem=f"{kind.name}: {error.message}")
    config = {word: value for word, path in kind.config.items() if (value := stated(attribute, path)) is not MISSING}
    return replace(layer, populations=populations, sizes=sizes, config={**kind.facts, **config})


def _finder(layer: LayerInfo, inside: Find | None) -> Find:
    own = {array.name: array for array in layer.arrays}
    return lambda name: own.get(name) or (inside(name) if inside and "." in name else None)


MISSING = object()


def stated(attribute: Callable[[str], Any], paths: str) -> Any:
    """What a layer states, at the first of some paths (`a|b.c`) that it has; MISSING if at none. A number is itself."""
    for path in paths.split("|"):
        if path.isdigit():
            return int(path)
        try:
            value = attribute(path)
        except (AttributeError, LookupError):
            continue
        if value is not None or "|" not in paths:
            return value
    return MISSING


def stated_sizes(kind: Kind, attribute: Callable[[str], Any]) -> dict[str, Size]:
    """The sizes that the layer states. A packed axis as a key, `(group neuron)`, is solved for its last unknown."""
    sizes: dict[str, Size] = {}
    for key, path in kind.sizes.items():
        value = stated(attribute, path)
        if value is MISSING:
            continue
        if key.startswith("("):
            sizes.update(fit(key, (value,), sizes).sizes)
        else:
            sizes[key] = tuple(value) if isinstance(value, (tuple, list)) else value
    return sizes


def _populations(kind: Kind, find: Find, sizes: Mapping[str, Size]) -> Iterable[tuple[str, Population]]:
    if kind.arrays:
        yield "", _population("", Part(kind.arrays, kind.noun, kind.neuron), kind, find, sizes)
    for name, part in kind.others.items():
        taken = sizes if part.neuron != kind.neuron or part.fixed else {}
        yield name, _population(name, part, kind, find, taken)


def _population(name: str, part: Part, kind: Kind, find: Find, sizes: Mapping[str, Size]) -> Population:
    placed: list[Placed] = []
    for word, line in part.arrays.items():
        for array, at in _places(kind, word, find):
            try:
                placed.append(Placed(word, array, fit(line, array.shape, sizes), {**at, **_one_label(kind, word)}))
            except AxisError as error:
                raise AxisError(f"{array.name} {array.shape} as {line!r}: {error.message}") from error
    axes = _neuron_axes(kind, part, placed, sizes)
    return Population(name, part.noun, axes, _facets(kind, placed), tuple(placed), part.fixed)


def _places(kind: Kind, word: str, find: Find) -> list[tuple[Array, dict[str, int]]]:
    """The arrays that store a word, with the coordinate of each on the kind's places."""
    if not kind.places:
        return [(array, {})] if (array := find(word)) else []
    found = []
    for numbers in itertools.product(*(_numbers(place) for place in kind.places)):
        spelled = {place.axis: place.spelling(n) for place, n in zip(kind.places, numbers, strict=True)}
        if array := find(word + kind.suffix.format(**spelled)):
            found.append((array, dict(zip(spelled, numbers, strict=True))))
        elif not any(numbers[1:]):
            break
    return found


def _numbers(place: Place) -> Iterable[int]:
    return range(len(place.spellings)) if place.spellings else range(10_000)


def _neuron_axes(kind: Kind, part: Part, placed: Sequence[Placed], sizes: Mapping[str, Size]) -> tuple[AxisSize, ...]:
    known = {name: size for name, size in sizes.items() if isinstance(size, int)}
    rests = {name: size for name, size in sizes.items() if isinstance(size, tuple)}
    for name in (name[1:] for name in part.neuron if name.startswith("*")):
        known |= {f"{name}{number}": size for number, size in enumerate(rests.get(name, ()))}
    own = {*part.neuron, *(name for name in known if name.rstrip("0123456789") != name)}
    for item in placed:
        for name, size in item.layout.sizes.items():
            if name in own and known.get(name, size) != size:
                raise AxisError(f"{item.array.name} {item.array.shape} has {size} on axis {name!r}, not {known[name]}")
            known[name] = size
    places = {place.axis: place for place in kind.places}
    axes = []
    for name in part.neuron:
        if name in places:
            count = max((item.at[name] for item in placed), default=0) + 1
            axes.append(AxisSize(name, count, tuple(places[name].label(i) for i in range(count))))
        elif name.startswith("*"):
            if name[1:] not in rests:
                raise AxisError(f"the sizes of the neuron axes {name!r} are not stated")
            if not rests[name[1:]] and placed:
                raise AxisError("no axes of it are known to be its neurons'")
            axes += [AxisSize(f"{name[1:]}{i}", size) for i, size in enumerate(rests[name[1:]])]
        elif name in known:
            axes.append(AxisSize(name, known[name]))
        elif placed:
            raise AxisError(f"no array of {kind.name} has the neuron axis {name!r}")
    return tuple(axes)


def _facets(kind: Kind, placed: Sequence[Placed]) -> tuple[AxisSize, ...]:
    found: dict[str, AxisSize] = {}
    for item in placed:
        for name in kind.facets:
            if name in item.layout.sizes and name not in found:
                found[name] = AxisSize(name, item.layout.sizes[name], _labels(item.layout, name))
    if placed:
        found.update({axis.name: AxisSize(axis.name, len(axis.labels), axis.labels) for axis in _labelled(kind)})
    return tuple(found.values())


def _labelled(kind: Kind) -> Iterable[Axis]:
    """The facets that a row states with their labels, because each of its arrays holds one alone."""
    terms = (term for name in kind.facets if "{" in name for term in Line.parse(name).terms)
    return (axis for term in terms for axis in term.axes() if isinstance(axis, Axis))


def _one_label(kind: Kind, word: str) -> dict[str, int]:
    """The coordinate of an array that holds one label of a facet: one that is `weight_ih.forget` to the formula."""
    label = kind.words.get(word, "").partition(".")[2]
    return {axis.name: axis.labels.index(label) for axis in _labelled(kind) if label in axis.labels}


def _labels(layout: Layout, name: str) -> tuple[str, ...]:
    for term in layout.line.terms:
        for axis in term.axes():
            if axis.name == name:
                return axis.labels
    return ()


def plural(noun: str) -> str:
    """Several of a noun: neurons, queries, heads of keys and values."""
    if noun == "kv":
        return "heads of keys and values"
    return f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"


def out_of_range(what: str, index: int, size: int, noun: str) -> AddressError:
    """The error for an index past the end, with the range and how the index counts."""
    many = plural(noun)
    if size == 0:
        return AddressError(f"{what} has no {many}")
    return AddressError(
        f"{what} has {size} {noun if size == 1 else many}, so {index} is out of range",
        f"{many} are numbered 0 to {size - 1} (or -{size} to -1 from the end)",
    )

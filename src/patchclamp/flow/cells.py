"""Every neuron of a network as one number, its label, and every array that reads: the two ends of a connection."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..axes import Axis, Product, Sum, Term
from ..layout import Layout
from ..locate import address_of
from ..model import LayerInfo, Model, Neurons, Placed, Population

__all__ = ["NETWORK_INPUT", "Block", "Cells", "Holding", "Reader", "coords_of"]

Ints = npt.NDArray[np.int64]

WEIGHING = ("neuron", "embedding")
"""The roles of kinds whose neurons are sources: norms, scales and activations are on the way."""
NETWORK_INPUT = "the network's input"
"""What stands for the source that is no neuron."""
SHARED = ("group", "expert")
"""Neuron axes that say also what is read: a filter of group 1 reads the channels of group 1."""


@dataclass(frozen=True)
class Block:
    """The labels `start` to `start + count - 1`: the neurons of a population in order.

    `text` names what is no neuron: "the network's input", or what an unknown origin is. `array` is true where the
    layer's kind is not known: `population` is then the name of the array whose rows these are.
    """

    layer: str
    population: str
    start: int
    count: int
    text: str = ""
    array: bool = False


@dataclass(frozen=True)
class Reader:
    """An array of weights that reads: its layer, population, word and path, and the axes whose numbers make a slot.

    Slots are numbered row-major over `axes`: of a dense layer the column, of a filter the channel of the whole input
    (group x in), of experts (expert x in). `placed` is where it lies; None where the kind is not known.
    """

    number: int
    layer: str
    population: str
    word: str
    path: str
    axes: tuple[tuple[str, int], ...]
    placed: Placed | None = None

    @property
    def slots(self) -> int:
        return math.prod(size for _, size in self.axes)

    def coords(self, slot: int) -> dict[str, int]:
        """The coordinate of a slot on its axes."""
        found: dict[str, int] = {}
        for name, size in reversed(self.axes):
            slot, found[name] = divmod(slot, size)
        return found


@dataclass(frozen=True)
class Holding:
    """What an array of weights holds: the neurons of one population, and the reader that it is for them."""

    block: Block
    population: Population | None
    placed: Placed | None
    reader: Reader | None

    def labels(self, coords: Mapping[str, Ints]) -> Ints:
        """The label at each coordinate; 0 where another population lies."""
        cells, placed = self.population, self.placed
        assert cells is not None and placed is not None
        shape = next(iter(coords.values())).shape if coords else ()
        number = np.zeros(shape, np.int64)
        here = np.ones(shape, bool)
        for axis in cells.axes:
            given = coords.get(axis.name)
            at = np.full(shape, placed.at.get(axis.name, 0)) if given is None else given
            here &= at >= 0
            number += at * cells.strides[axis.name]
        for name, fixed in cells.fixed.items():
            if name in coords:
                here &= coords[name] == fixed
        return np.where(here, number + self.block.start, 0)

    def slots(self, coords: Mapping[str, Ints]) -> Ints:
        """The slot at each coordinate."""
        assert self.reader is not None
        shape = next(iter(coords.values())).shape if coords else ()
        found = np.zeros(shape, np.int64)
        for name, size in self.reader.axes:
            found = found * size + coords[name]
        return found


class Cells:
    """The numbering of a network's neurons and of the arrays that read.

    Labels count from 1, layer by layer. What a trace meets beside them, the network's input or rows of an array of
    unknown kind, is added behind.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.blocks: list[Block] = []
        self.readers: list[Reader] = []
        self._starts: list[int] = []
        self._by_name: dict[tuple[str, str], Block] = {}
        self._holding: dict[str, list[Holding]] = {}
        weighing = [layer for layer in model.layers.values() if layer.kind and layer.kind.role in WEIGHING]
        # Deepest first: an attention may name arrays of its own projection, whose neurons they are.
        for layer in sorted(weighing, key=lambda one: -len(one.name.split("."))):
            for name, cells in layer.populations.items():
                if not cells.via and cells.placed:
                    self._take(layer, name, cells)

    @property
    def count(self) -> int:
        """The highest label."""
        return self.blocks[-1].start + self.blocks[-1].count - 1 if self.blocks else 0

    def add(self, layer: str, population: str, count: int, *, text: str = "", array: bool = False) -> Block:
        """A block behind the others; the one that is there, if it has this name and text already."""
        key = (layer, population or text)
        if (text or array) and key in self._by_name:
            return self._by_name[key]
        block = Block(layer, population, self.count + 1, count, text, array)
        self.blocks.append(block)
        self._starts.append(block.start)
        self._by_name[key] = block
        return block

    def reads(self, layer: str, word: str, path: str, axes: tuple[tuple[str, int], ...]) -> Reader:
        """The reader of an array of unknown kind."""
        for reader in self.readers:
            if reader.path == path and reader.axes == axes:
                return reader
        reader = Reader(len(self.readers), layer, word, word, path, axes)
        self.readers.append(reader)
        return reader

    def block(self, layer: str, population: str) -> Block:
        """The block of a population. Raises KeyError where it holds no arrays of its own."""
        return self._by_name[layer, population]

    def of(self, label: int) -> Block:
        """The block of a label."""
        return self.blocks[bisect.bisect_right(self._starts, label) - 1]

    def neuron(self, label: int) -> tuple[str, str, int]:
        """The layer, the population and the number of a neuron."""
        block = self.of(label)
        return block.layer, block.population, label - block.start

    def labels(self, layer: str, population: str, numbers: Sequence[int]) -> list[int]:
        start = self.block(layer, population).start
        return [start + number for number in numbers]

    def neurons(self, label: int) -> Neurons | None:
        """What the label stands for, to be read and shown; None where it is no neuron of a known kind."""
        block = self.of(label)
        if block.text or block.array:
            return None
        layer = self.model.layers[block.layer]
        return Neurons(layer, layer.populations[block.population], (label - block.start,), single=True)

    def text(self, label: int) -> str:
        """The address of a neuron; of anything else, what it is called."""
        block = self.of(label)
        neurons = self.neurons(label)
        if neurons is not None:
            return self.model.addresses.text(address_of(neurons, neurons.numbers[0]))
        if block.text:
            return block.text if block.count == 1 else f"{block.text}[{label - block.start}]"
        name = f"{block.layer}.{block.population}" if block.layer else block.population
        return f"{name}[{label - block.start}]"

    def holding(self, path: str) -> Sequence[Holding]:
        """What an array holds, by its path; nothing where its kind is not known."""
        return self._holding.get(path, ())

    def _take(self, layer: LayerInfo, name: str, cells: Population) -> None:
        beneath = self._beneath(cells)
        if beneath is not None:
            self._by_name[layer.name, name] = beneath
            return
        block = self.add(layer.name, name, len(cells))
        for placed in cells.placed:
            axes = _slot_axes(cells, placed)
            reader = None
            if axes:
                path = placed.array.path
                reader = Reader(len(self.readers), layer.name, name, placed.word, path, axes, placed)
                self.readers.append(reader)
            for path in dict.fromkeys((placed.array.path, *placed.array.tied)):
                if path == placed.array.path or path.startswith(f"{layer.name}."):
                    self._holding.setdefault(path, []).append(Holding(block, cells, placed, reader))

    def _beneath(self, cells: Population) -> Block | None:
        """The block of the same neurons in a deeper layer."""
        held = [self._holding.get(placed.array.path) for placed in cells.placed]
        first = held[0][0].block if held[0] else None
        same = first is not None and first.count == len(cells) and not cells.fixed
        return first if same and all(held) else None


def _slot_axes(cells: Population, placed: Placed) -> tuple[tuple[str, int], ...]:
    """The axes that say which slot of the input a weight reads; none of an array that reads nothing."""
    sizes = placed.layout.sizes
    own = {axis.name for axis in cells.axes} | {axis.name for axis in cells.facets} | {*placed.at, *cells.fixed}
    entering = [name for name in sizes if name not in own and not _counted(name, "k") and not _counted(name, "at")]
    shared = [axis.name for axis in cells.axes if axis.name in SHARED and axis.name in sizes]
    deep = any(_counted(name, "k") for name in sizes)
    if not entering and not (shared and deep):
        return ()
    return tuple((name, sizes[name]) for name in (*shared, *entering))


def _counted(name: str, prefix: str) -> bool:
    """Whether an axis is one of a counted family: k0, k1; at0."""
    return name.startswith(prefix) and name[len(prefix) :].isdigit()


def coords_of(layout: Layout, offsets: Ints) -> dict[str, Ints]:
    """Where elements of an array, counted row-major, lie on the axes of its line; -1 on those of another part."""
    found: dict[str, Ints] = {}
    stored = np.unravel_index(offsets, layout.shape) if layout.shape else ()
    for term, places in zip(layout.terms, stored, strict=True):
        for name, at in _decoded(term, places.astype(np.int64), layout.sizes):
            here = found.get(name)
            found[name] = at if here is None else np.where(here >= 0, here, at)
    return found


def _decoded(term: Term, places: Ints, sizes: Mapping[str, int]) -> Iterator[tuple[str, Ints]]:
    if isinstance(term, Axis):
        yield term.name, places
    elif isinstance(term, Product):
        for item in reversed(term.items):
            length = _length(item, sizes)
            inside = np.where(places >= 0, places % length, -1) if length else places
            yield from _decoded(item, inside, sizes)
            places = np.where(places >= 0, places // max(length, 1), -1)
    elif isinstance(term, Sum):
        start = 0
        which = np.full(places.shape, -1, np.int64)
        for number, (_, part) in enumerate(term.parts):
            length = _length(part, sizes)
            here = (places >= start) & (places < start + length)
            which[here] = number
            yield from _decoded(part, np.where(here, places - start, -1), sizes)
            start += length
        yield "part", which


def _length(term: Term, sizes: Mapping[str, int]) -> int:
    if isinstance(term, Product):
        return math.prod(_length(item, sizes) for item in term.items)
    if isinstance(term, Sum):
        return sum(_length(part, sizes) for _, part in term.parts)
    return sizes[term.name]

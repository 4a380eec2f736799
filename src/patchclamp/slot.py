"""One slot of a layer's input: what all its neurons read from there. In a dense layer it is a column of the weight.

A slot is found by the axis of an array's line that lies along what is read, so it is `weight[:, j]` of a torch Linear,
`kernel[j]` of a Keras Dense, one group's filters of a grouped convolution. Only what is there is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from .address import Address
from .arrays import Array, as_lists
from .axes import Key, Line
from .errors import AddressError, KindError
from .frozen import dataclass
from .layout import Layout, fit
from .model import LayerInfo, Model, Placed, Population
from .parts.tree import Column, Fields, Heading, Page, Table
from .read import means
from .shown import Shown

__all__ = ["Slot", "SlotPart", "slot_of"]

READS = ("in", "token")
"""The axes that lie along what a layer is given: channels, features; the entries of a table."""
INNER = ("from", "in1", "in2", "unit")
"""Others that may be named: the state that a recurrent layer reads, the two inputs of a bilinear one."""


@dataclass(frozen=True, slots=True, eq=False)
class SlotPart:
    """One array of a slot: the keys of its part (several where the axis is packed), and the axes that this has."""

    array: Array
    keys: tuple[Key, ...]
    axes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what one key takes."""
        pairs = zip(self.keys[0], self.array.shape, strict=True)
        return tuple(len(range(*index.indices(length))) for index, length in pairs if isinstance(index, slice))

    def read(self) -> Any:
        """The numbers: in a live network a view of its memory, of a file its values."""
        if len(self.keys) != 1:
            raise KindError(f"this slot of {self.array.path} lies in {len(self.keys)} blocks", "read each of .keys")
        return self.array.read(self.keys[0])


class Slot(Shown):
    """Slot `number` of a layer's input: `arrays` are what the neurons numbered `numbers` read from there."""

    def __init__(self, model: Model, layer: LayerInfo, number: int, axis: str, size: int) -> None:
        self.model = model
        self.layer = layer
        self.number = number
        self.axis = axis
        self.size = size
        self.parts: dict[str, SlotPart] = {}
        self.numbers: range | None = None

    @property
    def address(self) -> str:
        """How people call it. It is no address of a neuron: `net[...]` does not take it."""
        return f"{self.model.addresses.text(Address(self.layer.name))} slot {self.number}"

    @property
    def arrays(self) -> Mapping[str, Any]:
        """Array name -> the numbers in the order in which they are stored, as `axes` names it."""
        return {name: part.read() for name, part in self.parts.items()}

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """Array name -> the names of the axes that its numbers have."""
        return {name: part.axes for name, part in self.parts.items()}

    @property
    def weight(self) -> Any:
        """The numbers, where one array reads from there. Raises KindError that names them where there are several."""
        if len(self.parts) != 1:
            many = f"{len(self.parts)} arrays: {', '.join(self.parts)}"
            raise KindError(f"{self.address} is read by {many}", "use .arrays")
        return next(iter(self.parts.values())).read()

    def __str__(self) -> str:
        return self.address

    def page(self) -> Page:
        """What reads the slot, and how strongly."""
        columns = (Column("array"), Column("axes"), Column("shape"), Column("type"), Column("|w|"), Column("largest"))
        rows = []
        for name, part in self.parts.items():
            norm, most = _sizes(part)
            rows.append((name, " ".join(part.axes), part.shape, part.array.dtype, norm, most))
        number = f"{self.number} of {self.size} on axis {self.axis}"
        fields: tuple[tuple[str, object], ...] = (("slot", number),)
        if self.numbers is not None:
            fields += (("read by neurons", f"{self.numbers.start} to {self.numbers.stop - 1}"),)
        return Page((Heading(self.address), Fields(fields), Table(columns, tuple(rows))))


def slot_of(model: Model, layer: LayerInfo, number: int, axis: str = "") -> Slot:
    """What the neurons of a layer read from slot `number` of its input; nothing is read before it is asked for.

    `axis` names another axis than that of the layer's input: `from` is the state that a recurrent layer reads. Raises
    AddressError out of range, KindError for a layer of no known kind or where no array reads an input.
    """
    placed = list(_reading(layer, axis))
    if not placed:
        known = sorted({name for _, item in _held(layer) for name in item.layout.sizes if name in (*READS, *INNER)})
        what = f"an axis {axis!r}" if axis else "an input axis"
        hint = f"axis={known[0]!r}" if known else "patchclamp layers lists what it has"
        raise KindError(f"no array of {layer.name!r} ({layer.class_name}) has {what}", hint)
    cells, first, name = placed[0]
    groups = _groups(layer, cells) if name == "in" and not axis else 1
    extent = first.layout.sizes[name]
    size = extent * groups
    if not -size <= number < size:
        hint = f"slots are numbered 0 to {size - 1}" if size else "it is empty"
        raise AddressError(f"{layer.name!r} reads {size} inputs, so slot {number} is out of range", hint)
    slot = Slot(model, layer, number % size, name, size)
    group, inner = divmod(slot.number, extent)
    if groups > 1 or name == "group":
        each = len(cells) // (size if name == "group" else groups)
        begin = (inner if name == "group" else group) * each
        slot.numbers = range(begin, begin + each)
    for _, item, name in placed:
        layout, coords = item.layout, {name: inner}
        if groups > 1 and "group" in layout.sizes:
            coords["group"] = group
        beside = next(term for term in layout.terms if name in {axis.name for axis in term.axes()})
        coords |= {axis.name: 0 for axis in beside.axes() if layout.sizes[axis.name] == 1}
        if layout.sizes[name] == extent and item.array.name not in slot.parts:
            slot.parts[item.array.name] = SlotPart(item.array, _keys(layout, coords), layout.remaining(coords))
    return slot


def _held(layer: LayerInfo) -> Iterator[tuple[Population, Placed]]:
    """What the layer stores itself: its parts read what is inside it."""
    own = {array.path for array in layer.arrays}
    for cells in layer.populations.values():
        for item in cells.placed if not cells.via else ():
            if item.array.path in own:
                yield cells, item


def _reading(layer: LayerInfo, axis: str) -> Iterator[tuple[Population, Placed, str]]:
    """The arrays that read the input, each with the axis that lies along it. Deeper layers of a stack read others."""
    given = Line.parse(layer.kind.input).names if layer.kind is not None else ()
    names = ("group",) if "group" in given and "in" not in given else READS
    for cells, item in _held(layer):
        name = axis if axis in item.layout.sizes else next((n for n in names if n in item.layout.sizes), "")
        if name == "group" and not axis and means("bias", item.word):
            continue
        if name and (not axis or name == axis) and (axis or not item.at.get("layer", 0)):
            yield cells, item, name


def _groups(layer: LayerInfo, cells: Population) -> int:
    """How many groups of channels the input has, each read by its own filters."""
    packed = layer.kind is not None and "(group in)" in layer.kind.input
    return next((axis.size for axis in cells.axes if axis.name == "group"), 1) if packed else 1


def _keys(layout: Layout, coords: Mapping[str, int]) -> tuple[Key, ...]:
    """The keys of a coordinate; a stored axis that it does not touch stays whole."""
    stored: list[list[int | slice]] = []
    for term, length in zip(layout.terms, layout.shape, strict=True):
        names = {axis.name for axis in term.axes()}
        if names & coords.keys():
            alone = fit(Line((term,)), (length,), {name: layout.sizes[name] for name in names})
            stored.append([key[0] for key in alone.keys({n: i for n, i in coords.items() if n in names})])
        else:
            stored.append([slice(None)])
    return tuple(itertools.product(*stored))


def _sizes(part: SlotPart) -> tuple[object, object]:
    """The Euclidean norm and the largest size of the numbers."""
    square, most = 0.0, 0.0
    for key in part.keys:
        for value in _flat(as_lists(part.array.read(key))):
            square += abs(value) ** 2
            most = max(most, abs(value))
    return math.sqrt(square), most


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values

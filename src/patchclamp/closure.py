"""What must go with some neurons so that a network stays whole: the slots that read them, and their partners.

From the neurons that were asked for, rules are applied until nothing is added: who reads a neuron loses that slot; who
shares a slot with it, in a sum or a product, must go too; so must the channel of a depthwise convolution that reads it
alone, the rest of its attention head, and the expert of a router's row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .errors import EditError
from .flow.cells import Reader
from .flow.edges import Traced
from .model import LayerInfo, Model, Population

__all__ = ["Closure", "Heads", "heads_in"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of one attention: labels of queries (head, neuron), keys and values (kv, neuron), and slots that read
    what a head gives (head, neuron)."""

    layer: LayerInfo
    queries: Sequence[Ints]
    shared: Sequence[Ints]
    slots: Ints | None = None

    @property
    def count(self) -> int:
        return len(self.queries[0])

    @property
    def kv(self) -> int:
        return len(self.shared[0])

    @property
    def served(self) -> int:
        """How many query heads one head of keys and values serves."""
        return self.count // self.kv


@dataclass
class Closure:
    """The growing set: `removed` and `dropped` by label, `cut` by slot of all readers, `why` of what was not asked for.

    What is `dropped` loses its rows and leaves those who read it as they are: one summand of several, as an expert's
    output.
    """

    model: Model
    traced: Traced
    why: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = self.cells = self.traced.cells
        self.removed: Flags = np.zeros(cells.count + 1, bool)
        self.dropped: Flags = np.zeros(cells.count + 1, bool)
        sizes = [reader.slots for reader in cells.readers]
        self.start: Ints = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        self.cut: Flags = np.zeros(int(self.start[-1]), bool)
        self.exempt: Flags = np.zeros(int(self.start[-1]), bool)
        self.place: Ints = self.start[self.traced.reader] + self.traced.slot
        self.heads = list(heads_in(self.model, self))
        self.routers = list(_routers(self.model))

    def take(self, labels: Ints, why: str = "") -> bool:
        """Add neurons; whether any was new. `why` is empty for those that were asked for."""
        new = labels[~(self.removed | self.dropped)[labels]]
        self.removed[new] = True
        if why:
            for label in new.tolist():
                self.why[label] = why
        return len(new) > 0

    def take_heads(self) -> None:
        """Heads whose queries were asked for are asked for whole, with the keys and values that serve them alone."""
        for heads in self.heads:
            asked = self.removed[heads.queries[0]].all(1)
            for labels in heads.queries:
                self.take(labels[asked].ravel())
            for labels in heads.shared:
                self.take(labels[asked.reshape(heads.kv, heads.served).all(1)].ravel())

    def close(self) -> None:
        """Apply the rules until nothing is added."""
        growing = True
        while growing:
            growing = False
            for rule in (self._edges, self._groups, self._recurrent, self._whole_heads, self._experts):
                growing |= rule()

    def _edges(self) -> bool:
        traced, before = self.traced, int(self.cut.sum())
        self.cut[self.place[self.removed[traced.source]]] = True
        gone = self.removed | self.dropped
        beside = np.flatnonzero(self.cut[self.place] & ~self.exempt[self.place] & ~gone[traced.source])
        first: dict[int, int] = {}
        for edge in beside.tolist():
            first.setdefault(int(traced.source[edge]), edge)
        for label, edge in first.items():
            self._partner(label, edge)
        return bool(first) or int(self.cut.sum()) > before

    def _partner(self, label: int, edge: int) -> None:
        place = int(self.place[edge])
        here = np.flatnonzero(self.place == place).tolist()
        beside = next((one for one in here if self.removed[self.traced.source[one]]), None)
        reader, slot = self.reader_of(place)
        at = f"{reader.layer} slot {slot}" if reader.layer else f"slot {slot}"
        meets = f"is what {at} reads, which goes"
        if beside is not None:
            meets = f"{self._how(edge, beside)} {self.cells.text(int(self.traced.source[beside]))} at {at}"
        block = self.cells.of(label)
        if block.text or block.array:
            raise EditError(
                f"{self.cells.text(label)} {meets}, so that slot cannot go",
                "neurons that are added to what is no neuron of a known layer cannot be removed",
            )
        self.take(np.array([label]), f"it {meets}")

    def _how(self, edge: int, other: int) -> str:
        """How two neurons come together that one slot hears."""
        one, two = (set(self.traced.tag_names[self.traced.tags[at]]) for at in (edge, other))
        both = one & two
        return (
            "is multiplied with"
            if "product" in both
            else "is added to"
            if "residual" in both
            else "is heard together with"
        )

    def reader_of(self, place: int) -> tuple[Reader, int]:
        """The reader and its slot of a place in `cut`."""
        number = int(np.searchsorted(self.start, place, side="right")) - 1
        return self.cells.readers[number], place - int(self.start[number])

    def slots_of(self, reader: Reader) -> slice:
        """Where a reader's slots lie in `cut`."""
        return slice(int(self.start[reader.number]), int(self.start[reader.number + 1]))

    def labels_of(self, layer: str, population: str) -> Ints:
        block = self.cells.block(layer, population)
        return np.arange(block.start, block.start + block.count)

    def _groups(self) -> bool:
        """A group of a convolution that reads nothing any more goes, and one that is gone reads nothing."""
        grown = False
        for reader in self.cells.readers:
            if reader.placed is None or len(reader.axes) < 2 or reader.axes[0][0] != "group" or reader.axes[0][1] == 1:
                continue
            groups = reader.axes[0][1]
            slots = self.cut[self.slots_of(reader)].reshape(groups, -1)
            labels = self.labels_of(reader.layer, reader.population).reshape(groups, -1)
            silent, gone = slots.all(1), self.removed[labels].all(1)
            for group in np.flatnonzero(silent & ~gone).tolist():
                grown |= self.take(labels[group], f"it reads only channels of {reader.layer} that go")
            if (gone & ~silent).any():
                slots[gone] = True  # a view of `cut`
                grown = True
        return grown

    def _recurrent(self) -> bool:
        """The state that a recurrent layer reads is its own units', whether this input was long enough to show it."""
        grown = False
        for reader in self.cells.readers:
            if reader.placed is None or reader.axes[0][0] not in ("from", "unit"):
                continue
            layer = self.model.layers[reader.layer]
            name = "proj" if reader.axes[0][0] == "from" and "proj" in layer.populations else ""
            cells = layer.populations[name]
            start = self.cells.block(reader.layer, name).start
            start += sum(cells.strides[axis] * at for axis, at in reader.placed.at.items() if axis in cells.strides)
            gone = self.removed[start : start + reader.slots]
            here = self.slots_of(reader)
            grown |= bool((gone & ~self.cut[here]).any())
            self.cut[here] |= gone
        return grown

    def _whole_heads(self) -> bool:
        grown = False
        for heads in self.heads:
            lost = np.zeros(heads.count, bool)
            for labels in heads.queries:
                lost |= self.removed[labels].any(1)
            for labels in heads.shared:
                lost |= np.repeat(self.removed[labels].any(1), heads.served)
            if heads.slots is not None:
                lost |= (self.cut[heads.slots] & self.exempt[heads.slots]).any(1)
            empty = lost.reshape(heads.kv, heads.served).all(1)
            for kind, which in ((heads.queries, lost), (heads.shared, empty)):
                for labels in kind:
                    for head in np.flatnonzero(which).tolist():
                        what = "head" if kind is heads.queries else "kv"
                        grown |= self.take(labels[head], f"it is of {heads.layer.name}.{what}[{head}], which is whole")
            if heads.slots is not None and lost.any():
                places = heads.slots[lost].ravel()
                grown |= not self.cut[places].all()
                self.cut[places] = self.exempt[places] = True
        return grown

    def _experts(self) -> bool:
        """Hidden neurons go with what reads them; a whole expert goes with its outputs and its row of the router."""
        grown = False
        for layer, reader, router in self._mixtures():
            main = self.labels_of(layer.name, "")
            experts = layer.populations[""].axes[0].size
            hidden = main.reshape(experts, -1)
            here = self.slots_of(reader)
            gone = self.removed[main]
            grown |= bool((gone & ~self.cut[here]).any())
            self.cut[here] |= gone
            whole = self.removed[hidden].all(1)
            rows = self.labels_of(router, "") if router else None
            if rows is not None:
                for expert in np.flatnonzero((self.removed | self.dropped)[rows] & ~whole).tolist():
                    grown |= self.take(hidden[expert], f"it is of the expert that {router}[{expert}] sends to")
                grown |= self._drop(rows[whole], "it sends to an expert that goes")
            outputs = self.labels_of(reader.layer, reader.population).reshape(experts, -1)
            grown |= self._drop(outputs[whole].ravel(), "it is of an expert that goes")
        return grown

    def routed(self) -> Ints:
        """The hidden neurons of all experts: who reads them stands in their arrays, chosen by the router or not."""
        found = [self.labels_of(layer.name, "") for layer, _, _ in self._mixtures()]
        return np.concatenate([np.zeros(0, np.int64), *found])

    def _drop(self, labels: Ints, why: str) -> bool:
        new = labels[~self.dropped[labels]]
        self.dropped[new] = True
        self.removed[new] = False
        for label in new.tolist():
            self.why.setdefault(label, why)
        return len(new) > 0

    def _mixtures(self) -> Iterator[tuple[LayerInfo, Reader, str]]:
        """Layers of packed experts, the array that reads their hidden neurons, and their router ("" if none)."""
        for reader in self.cells.readers:
            axes = [name for name, _ in reader.axes]
            layer = self.model.layers[reader.layer]
            main = layer.populations.get("")
            if axes != ["expert", "in"] or reader.population == "" or main is None or main.axes[0].name != "expert":
                continue
            if len(main) == reader.slots:
                yield layer, reader, self._router(layer, main.axes[0].size)

    def _router(self, layer: LayerInfo, experts: int) -> str:
        """The router that stands nearest in the tree and scores as many experts."""
        parent = layer.name.rpartition(".")[0]
        near = [one for one in self.routers if one.name.rpartition(".")[0] == parent and one.main is not None]
        return next((one.name for one in near if one.main is not None and len(one.main) == experts), "")


def _routers(model: Model) -> Iterator[LayerInfo]:
    for layer in model.layers.values():
        if layer.kind is not None and layer.kind.noun == "expert logit" and layer.main is not None:
            yield layer


_QUERIES = ("query", "gate")
_SHARED = ("key", "value")


def heads_in(model: Model, closure: Closure) -> Iterator[Heads]:
    """Every attention of a network whose queries, keys and values are known."""
    for layer in model.layers.values():
        cells = layer.populations
        if not layer.heads or not {"query", "key", "value"} <= cells.keys():
            continue
        queries = [_labels(closure, layer, cells[name]) for name in _QUERIES if name in cells]
        shared = [_labels(closure, layer, cells[name]) for name in _SHARED]
        slots = _slots(closure, cells["output"]) if "output" in cells else None
        even = len({len(one) for one in queries}) == len({len(one) for one in shared}) == 1
        if even and len(queries[0]) % len(shared[0]) == 0:
            yield Heads(layer, queries, shared, slots if slots is None or len(slots) == len(queries[0]) else None)


def _labels(closure: Closure, layer: LayerInfo, cells: Population) -> Ints:
    heads = math.prod(axis.size for axis in cells.lead)
    if not cells.via:
        return closure.labels_of(layer.name, cells.name).reshape(heads, -1)
    start = closure.cells.block(cells.via, "").start
    return np.array([start + place for place in _places(cells)], np.int64).reshape(heads, -1)


def _places(cells: Population) -> Iterator[int]:
    """Where each neuron of a view stands among those of the part, or among what that reads."""
    assert cells.packed is not None
    for number in range(len(cells)):
        (place,) = cells.packed.key(cells.coords(number))
        assert isinstance(place, int)
        yield place


def _slots(closure: Closure, cells: Population) -> Ints | None:
    """The slots of the output projection that read each head."""
    reader = next((one for one in closure.cells.readers if one.layer == cells.via), None)
    heads = math.prod(axis.size for axis in cells.lead)
    if reader is None or reader.slots != len(cells):
        return None
    start = int(closure.start[reader.number])
    return np.array([start + place for place in _places(cells)], np.int64).reshape(heads, -1)

"""From a closed set of neurons and slots to the work on arrays that takes them out, each row with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .arrays import Array
from .closure import Closure
from .errors import EditError
from .flow.cells import Block, Reader
from .locate import address_of
from .model import LayerInfo, Neurons, Population, plural
from .plan import Setting, Take, Work, longest
from .regular import Shears, even

__all__ = ["Cutting", "Row"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One reason why an array loses something: its path, the stored axis, how many places of it, why."""

    path: str
    axis: int
    taken: int
    of: int
    why: str


_COUNTS = "num_heads|num_attention_heads|n_heads|n_head|num_attn_heads|heads"
_KV = "num_key_value_heads|num_kv_heads|n_kv_heads|num_kv"
_SERVED = "num_key_value_groups|n_rep"
_WIDTHS = "all_head_size|inner_dim|split_size|attention_inner_dim"
_FOR_ALL_HEADS = "config.num_attention_heads|config.num_heads|config.n_head"
_FOR_ALL_KV = "config.num_key_value_heads"
_FOR_ALL_HIDDEN = "config.intermediate_size|config.ffn_dim|config.d_ff|config.encoder_ffn_dim|config.n_inner"
"""What a config says of all layers: told where all of them end with one size."""
_EXPERTS = "num_experts|n_routed_experts|num_local_experts|n_experts"


@dataclass
class Cutting:
    """What is taken from which array, from `Closure` to `Work`."""

    closure: Closure
    shears: dict[str, Shears] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    read: dict[str, Shears] = field(default_factory=dict)
    """What is taken of arrays because they read what goes: zeroed, these make the same network at its old size."""

    def work(self) -> Work:
        """The work; every check of shapes is made here. Raises EditError where what is left would be ragged."""
        self._neurons()
        self._slots()
        self._touched()
        self._heads()
        self._for_all()
        takes: list[Take] = [take for shears in self.shears.values() for take in shears.takes()]
        arrays = self.closure.model.arrays
        touched = {take.path for take in takes}
        layers = [
            layer.name
            for layer in self.closure.model.layers.values()
            if any(touched & {array.path, *array.tied, *array.sources} for array in layer.arrays)
        ]
        for take in takes:
            if not take.index.shape[-1]:
                raise EditError(f"nothing would be left of {arrays[take.path].path}", "keep at least one neuron")
        return Work(takes, list(dict.fromkeys(self.settings)), layers)

    def _shears(self, array: Array) -> Shears:
        return self.shears.setdefault(array.path, Shears(array))

    def _neurons(self) -> None:
        gone = self.closure.removed | self.closure.dropped
        for block in self.closure.cells.blocks:
            here = gone[block.start : block.start + block.count]
            if here.any() and not block.text:
                self._block(block, here)

    def _block(self, block: Block, gone: Flags) -> None:
        model = self.closure.model
        if block.array:
            raise EditError(
                f"{block.layer or 'the network'} is of no known kind, so its {block.population} cannot lose rows",
                'say what it is: patchclamp.register("my.Layer", weight="neuron in", bias="neuron")',
            )
        layer = model.layers[block.layer]
        cells = layer.populations[block.population]
        noun = cells.noun if gone.sum() == 1 else plural(cells.noun)
        what = f"{block.layer}.{block.population}" if block.population else block.layer
        if gone.all():
            raise EditError(f"these are all the {noun} of {what}", "keep at least one: a layer without any cannot run")
        self._sizes(layer, cells, gone)
        asked = self._why(block, gone)
        self._lose(cells, gone, f"{noun} {longest(np.flatnonzero(gone))}{asked}")

    def _lose(self, cells: Population, gone: Flags, why: str) -> None:
        for placed in cells.placed:
            self._shears(placed.array).neurons(cells, placed, gone)
            one = Shears(placed.array)
            one.neurons(cells, placed, gone)
            self._say(one, why)

    def _why(self, block: Block, gone: Flags) -> str:
        """Why neurons go that nobody asked for."""
        reasons = [self.closure.why.get(block.start + int(number), "") for number in np.flatnonzero(gone)]
        said = dict.fromkeys(filter(None, reasons))
        if not said:
            return ""
        more = f" and {len(said) - 1} more like it" if len(said) > 1 else ""
        return f": {next(iter(said))}{more}"

    def _sizes(self, layer: LayerInfo, cells: Population, gone: Flags) -> None:
        kind = layer.kind
        assert kind is not None
        sizes = even(layer, cells, gone)
        places = {place.axis for place in kind.places}
        old = {axis.name: axis.size for axis in cells.axes}
        for axis, size in sizes.items():
            if axis in places:
                raise EditError(
                    f"{layer.name} would lose all units of a {axis}", "a stack keeps its layers: take units of each"
                )
            names = kind.sizes.get(axis, "")
            names = "|".join(name for name in names.split("|") if name and not name.isdigit() and "config." not in name)
            if axis == "expert":
                names = "|".join(filter(None, (names, _EXPERTS)))
                self._experts(layer, old[axis], size)
            if names:
                self.settings.append(Setting(layer.name, names, (old[axis], size)))

    def _experts(self, layer: LayerInfo, old: int, new: int) -> None:
        """The layers beside packed experts that state their number: the router, and what holds both."""
        parent = layer.name.rpartition(".")[0]
        near = [one.name for one in self.closure.routers if one.name.rpartition(".")[0] == parent]
        for name in (parent, *near):
            self.settings.append(Setting(name, _EXPERTS, (old, new)))

    def _slots(self) -> None:
        for reader in self.closure.cells.readers:
            gone = self.closure.cut[self.closure.slots_of(reader)]
            if not gone.any():
                continue
            if reader.placed is None:
                raise self._unknown(reader, gone)
            self._shears(reader.placed.array).slots(reader, gone)
            self.read.setdefault(reader.path, Shears(reader.placed.array)).slots(reader, gone)
            one = Shears(reader.placed.array)
            one.slots(reader, gone)
            slots = f"slot{'' if gone.sum() == 1 else 's'} {longest(np.flatnonzero(gone))}"
            self._say(one, f"{slots} read{'s' if gone.sum() == 1 else ''} {self._sources(reader, gone)}")

    def _unknown(self, reader: Reader, gone: Flags) -> EditError:
        """The error for who reads in a way that no line describes."""
        what = f"{reader.path} reads {self._sources(reader, gone)}"
        owner = (
            self._owner(self.closure.model.arrays[reader.path]) if reader.path in self.closure.model.arrays else None
        )
        if owner is not None and owner.kind is not None:
            return EditError(
                f"{what} in another way than a {owner.kind.title} reads (a weight that is turned, or used by hand)",
                "what another use of an array reads cannot be removed",
            )
        register = 'say what it is: patchclamp.register("my.Layer", weight="neuron in", bias="neuron")'
        return EditError(f"{what}, and its layer is of no known kind", register)

    def _sources(self, reader: Reader, gone: Flags) -> str:
        closure = self.closure
        edges = np.flatnonzero((closure.traced.reader == reader.number) & closure.removed[closure.traced.source])
        labels = np.unique(closure.traced.source[edges[gone[closure.traced.slot[edges]]]]).astype(np.int64)
        if not len(labels):
            return "its own state" if reader.axes[0][0] == "from" else "what goes"
        return self._named(labels)

    def _named(self, labels: Ints) -> str:
        """Neurons by their addresses, those of one layer together."""
        found: dict[tuple[str, str], list[int]] = {}
        for label in labels.tolist():
            layer, population, number = self.closure.cells.neuron(label)
            found.setdefault((layer, population), []).append(number)
        words = []
        for (name, population), numbers in list(found.items())[:4]:
            held = self.closure.model.layers[name]
            if len(numbers) == 1:
                neurons = Neurons(held, held.populations[population], numbers, single=True)
                words.append(self.closure.model.addresses.text(address_of(neurons, numbers[0])))
            else:
                words.append(f"{name}{'.' + population if population else ''}[{longest(numbers)}]")
        more = f" and {len(found) - 4} more layers" if len(found) > 4 else ""
        return " and ".join(words) + more

    def _touched(self) -> None:
        """Scales, shifts and statistics that belong to what goes, and with them the rest of their norm's channel."""
        arrays = self.closure.model.arrays
        gone = self.closure.removed
        for touch in self.closure.traced.touches:
            array = arrays.get(touch.path)
            if array is None or array.shape[touch.axis] == 1 or not gone[touch.label].any():
                continue
            length = array.shape[touch.axis]
            met = np.bincount(touch.index, minlength=length)
            lost = np.bincount(touch.index, gone[touch.label], minlength=length)
            places = np.flatnonzero((met > 0) & (met == lost))
            if len(places):
                named = self._named(np.unique(touch.label[np.isin(touch.index, places)]))
                self._norm(array, touch.axis, places, named)

    def _norm(self, array: Array, axis: int, places: Ints, named: str) -> None:
        owner = self._owner(array)
        main = owner.main if owner is not None and owner.kind is not None and owner.kind.role == "norm" else None
        placed = next((one for one in main.placed if one.array.path == array.path), None) if main else None
        if owner is None or main is None or placed is None or len(main) != array.shape[axis]:
            self._shears(array).along(axis, places.tolist())
            one = Shears(array)
            one.along(axis, places.tolist())
            self._say(one, f"scales or shifts {named}")
            return
        gone = np.zeros(len(main), bool)
        gone[places] = True
        self._sizes(owner, main, gone)
        several = len(places) > 1
        verb = "normalise" if several else "normalises"
        self._lose(main, gone, f"{main.noun}{'s' if several else ''} {longest(places)} {verb} {named}")

    def _owner(self, array: Array) -> LayerInfo | None:
        layers = self.closure.model.layers.values()
        return next((layer for layer in layers if any(one.path == array.path for one in layer.arrays)), None)

    def _heads(self) -> None:
        """What attentions state of their heads, on the layer and on the part that holds the projections."""
        for heads in self.closure.heads:
            lost: Flags = np.asarray(self.closure.removed[heads.queries[0]].all(1))
            if not lost.any():
                continue
            shared = self.closure.removed[heads.shared[0]].all(1)
            kept = (~lost).reshape(heads.kv, heads.served)[~shared].sum(1)
            if len(kept) and (kept != kept[0]).any():
                served = ", ".join(map(str, kept.tolist()))
                raise EditError(
                    f"the heads of keys and values of {heads.layer.name} would serve {served} query heads",
                    "take as many query heads from each, or all that one serves: then it goes with them",
                )
            for cells in heads.layer.populations.values():
                if [axis.name for axis in cells.axes] == ["head"] and len(cells) == heads.count and not cells.via:
                    self._lose(cells, lost, f"head{'' if lost.sum() == 1 else 's'} {longest(np.flatnonzero(lost))}")
            width = heads.shared[-1].shape[1]
            was = (heads.count, heads.kv, heads.served, heads.count * width)
            now = (int((~lost).sum()), int((~shared).sum()), int(kept[0]) if len(kept) else 0, 0)
            now = (*now[:3], now[0] * width)
            for name in self._parts(heads.layer):
                for names, old, new in zip((_COUNTS, _KV, _SERVED, _WIDTHS), was, now, strict=True):
                    if old != new:
                        self.settings.append(Setting(name, names, (old, new)))

    def _for_all(self) -> None:
        """What the network's config states once for all layers, where all change alike; nothing where they do not."""
        removed = self.closure.removed
        heads = {int(one.queries[0][0, 0]): one for one in self.closure.heads}.values()
        was = {(one.count, one.kv) for one in heads}
        now = {
            (int((~removed[one.queries[0]]).all(1).sum()), int((~removed[one.shared[0]]).all(1).sum())) for one in heads
        }
        if len(was) == len(now) == 1 and was != now:
            for names, old, new in zip((_FOR_ALL_HEADS, _FOR_ALL_KV), *was, *now, strict=True):
                if old != new:
                    self.settings.append(Setting("", names, (old, new), "config.head_dim"))
        inside = {int(label) for one in heads for part in (*one.queries, *one.shared) for label in part.ravel()}
        alike: dict[str, set[tuple[int, int]]] = {}
        for block in self.closure.cells.blocks:
            if not block.text and not block.population and block.start not in inside:
                left = int((~removed[block.start : block.start + block.count]).sum())
                alike.setdefault(re.sub(r"\d+", "*", block.layer), set()).add((block.count, left))
        for sizes in alike.values():
            old, new = next(iter(sizes))
            if len(sizes) == 1 and old != new:
                self.settings.append(Setting("", _FOR_ALL_HIDDEN, (old, new)))

    def _parts(self, layer: LayerInfo) -> Sequence[str]:
        holds = (cells.via.rpartition(".")[0] for cells in layer.populations.values() if cells.via)
        return list(dict.fromkeys((layer.name, *holds)))

    def _say(self, one: Shears, why: str) -> None:
        for take in one.takes():
            length = one.array.shape[take.axis]
            row = Row(one.array.path, take.axis, length - take.index.shape[-1], length, why)
            if row not in self.rows:
                self.rows.append(row)

"""For the brute-force oracle: which calls weigh, and whose weights they are handed.

The one list here is of the calls that contract. A call of these weighs if an operand is a parameter of the network, or
was computed from parameters and constants alone. What else the network does, nothing here needs to know.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_unflatten

from ...model import LayerInfo, Model, Placed
from .brute_held import Held, Ints, offsets
from .storage import Slot

__all__ = ["Owned", "Weights"]


OPERANDS = {
    **dict.fromkeys(("linear", "convolution", "_convolution", "conv1d", "conv2d", "conv3d"), (1,)),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), (1,)),
    **dict.fromkeys(("embedding", "embedding_bag", "_embedding_bag"), (0,)),
    **dict.fromkeys(("mm", "matmul", "bmm", "mv", "dot", "inner", "tensordot", "_grouped_mm", "grouped_mm"), (1, 0)),
    "grouped_mm_fallback": (1, 0),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv"), (2, 1)),
    **dict.fromkeys(("bilinear", "_trilinear"), (2,)),
}
"""Calls that contract, and at which places an operand may be the weights, the likeliest first; einsum has a list."""
TABLES = frozenset({"embedding", "embedding_bag", "_embedding_bag"})
CONSTANT = frozenset({"lift_fresh", "lift_fresh_copy"})
"""Calls by which a number written in Python becomes a tensor."""
PICKING = frozenset({"index", "index_select", "gather", "take"})
"""Calls that take what data chooses; of a parameter that is still its weights, as of the experts that are chosen."""


@dataclass(frozen=True)
class Owned:
    """The weights that one call is handed.

    place     which leaf of its arguments they are
    ids       the number of each element; -1 where not known
    held      the arrays of layers that they are; none where no kind describes them
    path      the parameter that they come from
    slots     the slot of each element, where no kind says it: counted along the parameter's own axes, without those
              along which the call's outputs lie
    """

    place: int
    ids: Ints
    held: tuple[Held, ...]
    path: str
    slots: Ints | None = None


class Weights:
    """Follows the parameters of a network through a run.

    Every element of every array has a number. A tensor that is a view has its elements by where they lie; one computed
    from parameters and constants has those that were moved there, else those of the operand with its shape.
    """

    def __init__(self, model: Model, module: torch.nn.Module) -> None:
        self.known: dict[int, Ints | int | None] = {}
        self._starts: list[int] = []
        self._paths: list[str] = []
        self._weights: list[bool] = []
        self._numbers: list[torch.Tensor] = []
        self._forms: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
        self._computed: list[tuple[torch.Tensor, Ints]] = []
        self._count = 0
        self._kept: dict[int, torch.Tensor] = {}
        self._found: dict[Any, Owned | None] = {}
        for name, parameter in module.named_parameters():
            self._hold(name, parameter, True)
        self.held = [held for layer in model.layers.values() for held in self._of(layer)]
        for name, value in module.named_buffers():
            self._hold(name, value, False)
        self._stored = frozenset(self.known)

    def _hold(self, name: str, value: torch.Tensor, weight: bool) -> None:
        if _key(value) not in self.known:
            self.known[_key(value)] = self._fresh(name, _whole(value), weight)
            self._forms[-1] = tuple(value.shape), value.stride(), int(value.storage_offset())
            self._kept[_key(value)] = value

    def _fresh(self, name: str, value: torch.Tensor, weight: bool) -> int:
        self._starts.append(self._count)
        self._paths.append(name)
        self._weights.append(weight)
        self._numbers.append(value)
        self._forms.append((tuple(value.shape), value.stride(), 0))
        self._count += value.numel()
        return self._count - value.numel()

    def _of(self, layer: LayerInfo) -> Iterator[Held]:
        if layer.kind is None or layer.kind.role not in ("neuron", "embedding"):
            return
        for cells in layer.populations.values():
            for placed in cells.placed if not cells.via else ():
                where = self._array(placed)
                if where is not None:
                    yield Held(layer, cells, placed, *where)

    def _array(self, placed: Placed) -> tuple[int, int, tuple[int, ...]] | None:
        array = placed.array
        stored = array.storage.stored() if isinstance(array.storage, Slot) and array.role != "computed" else None
        if stored is not None:
            self._hold(array.path, stored, True)
            base = self.known[_key(stored)]
            assert isinstance(base, int)
            return base, int(stored.storage_offset()), stored.stride()
        value = array.storage.read(())
        if not isinstance(value, torch.Tensor):
            return None
        kept = value.detach().clone(memory_format=torch.contiguous_format)
        base = self._fresh(array.path, kept.reshape(-1), True)
        self._computed.append((kept, base + offsets(tuple(kept.shape), kept.stride(), 0)))
        return base, 0, kept.stride()

    def forget(self) -> None:
        """Before another run: what the last one computed."""
        for key in [key for key in self.known if key not in self._stored]:
            del self.known[key], self._kept[key]

    def follow(self, func: Any, leaves: Sequence[Any], spec: Any, result: Any) -> None:
        """After a call: what it made of parameters and constants alone is known, what it wrote of others no more."""
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        name = func.overloadpacket.__name__
        data = [tensor for tensor in tensors if _key(tensor) not in self.known]
        if name in PICKING and self.ids(tensors[0]) is not None:
            data = [tensor for tensor in data if tensor.is_floating_point()]
        if data and name not in CONSTANT:
            for tensor in tensors if func._schema.is_mutable else ():
                if _key(tensor) not in self._stored:
                    self.known.pop(_key(tensor), None)
            return
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor) and _key(made) not in self.known:
                self._kept[_key(made)] = made
                ids = self._made(func, leaves, spec, made)
                self.known[_key(made)] = None if ids is None else _laid(made, ids)

    def _made(self, func: Any, leaves: Sequence[Any], spec: Any, made: torch.Tensor) -> Ints | None:
        """The numbers of a computed tensor's elements; None for a constant."""
        for value, ids in self._computed:
            if value.shape == made.shape and value.dtype == made.dtype and torch.equal(value, made):
                return ids
        floats = (p for p, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point())
        numbered = {place: self.ids(leaves[place]) for place in floats}
        numbered = {place: ids for place, ids in numbered.items() if ids is not None}
        if not numbered:
            return None
        moved = self._moved(func, leaves, spec, made, numbered)
        if moved is not None:
            return moved
        same = (ids for ids in numbered.values() if ids is not None and ids.shape == tuple(made.shape))
        return next(same, np.full(tuple(made.shape), -1))

    def _moved(
        self, func: Any, leaves: Sequence[Any], spec: Any, made: torch.Tensor, numbered: dict[int, Ints | None]
    ) -> Ints | None:
        """What the call does to the numbers of elements, if the values show that it only moves them."""
        swapped = [torch.float64 if isinstance(leaf, torch.dtype) else leaf for leaf in leaves]
        for place, ids in numbered.items():
            assert ids is not None
            swapped[place] = torch.from_numpy(ids.astype(np.float64))
        if func._schema.is_mutable or not made.is_floating_point():
            return None
        args, kwargs = tree_unflatten(swapped, spec)
        results = (item for item in tree_leaves(func(*args, **kwargs)) if isinstance(item, torch.Tensor))
        for found in results:
            if found.shape == made.shape and self._same(ids := _whole_numbers(found), made):
                return ids
        return None

    def _same(self, ids: Ints, made: torch.Tensor) -> bool:
        if ids.size == 0 or ids.min() < 0 or ids.max() >= self._count:
            return False
        values = torch.zeros(ids.shape, dtype=made.dtype)
        for which in self._bases(ids):
            here = torch.from_numpy((ids >= (start := self._starts[which])) & (ids < start + len(self._numbers[which])))
            values[here] = self._numbers[which][torch.from_numpy(ids)[here] - start].to(made.dtype)
        return torch.equal(values, made)

    def owned(self, func: Any, args: Sequence[Any], leaves: Sequence[Any], stack: Sequence[str]) -> Owned | None:
        """The weights that a call is handed; None if it does not weigh."""
        name = func.overloadpacket.__name__
        pure = all(_key(leaf) in self.known for leaf in leaves if isinstance(leaf, torch.Tensor))
        for value in _operands(name, args):
            owned = self._looked(name, args, value, stack)
            if owned is not None and (owned.held or not pure):
                return replace(owned, place=next(place for place, leaf in enumerate(leaves) if leaf is value))
        return None

    def _looked(self, name: str, args: Sequence[Any], value: torch.Tensor, stack: Sequence[str]) -> Owned | None:
        key = name, _key(value), value.shape, value.stride(), value.storage_offset(), tuple(stack)
        if key in self._found:
            return self._found[key]
        ids, found = self.ids(value), None
        if ids is not None and ids.max(initial=-1) >= 0 and any(self._weights[which] for which in self._bases(ids)):
            path = self._paths[self._bases(ids)[-1]]
            held = self._holders(name, ids, stack)
            found = Owned(0, ids, held, path, None if held else self._bare(ids, _free(name, args, value)))
        if _key(value) in self._stored:
            self._found[key] = found
        return found

    def _bases(self, ids: Ints) -> Sequence[int]:
        """In which tensors the elements lie."""
        first, last = (bisect.bisect_right(self._starts, int(end)) - 1 for end in (max(ids.min(), 0), ids.max()))
        if first == last:
            return [first]
        return [int(which) for which in np.unique(np.searchsorted(self._starts, ids[ids >= 0], "right") - 1)]

    def _bare(self, ids: Ints, free: Sequence[int]) -> Ints:
        """The slots of weights that no kind describes; -1 where they are of several parameters."""
        if len(bases := self._bases(ids)) > 1 or ids.min() < 0:
            return np.full(ids.shape, -1)
        which = bases[0]
        shape, strides, offset = self._forms[which]
        left, places = ids - self._starts[which] - offset, [np.zeros_like(ids)] * len(shape)
        for axis in sorted(range(len(shape)), key=lambda axis: -strides[axis]):
            places[axis], left = left // max(strides[axis], 1), left % max(strides[axis], 1)
        slots = np.zeros_like(ids)
        for place, size in zip(places, shape, strict=True):
            if not any((np.diff(place, axis=axis) != 0).any() for axis in free):
                slots = slots * size + place
        return slots

    def _holders(self, name: str, ids: Ints, stack: Sequence[str]) -> tuple[Held, ...]:
        """The arrays of layers that some weights are: of tied ones those of the layer that runs."""
        bases = {self._starts[which] for which in self._bases(ids)}
        low, high = int(ids[ids >= 0].min()), int(ids.max())
        hits = [h for h in self.held if h.base in bases and h.span[0] <= high and h.span[1] >= low]
        hits = [held for held in hits if held.table == (name in TABLES)] or hits
        running: dict[str, int] = {}
        for held in hits:
            running[held.path] = max(running.get(held.path, 0), _running(held.layer.name, stack))
        found: list[Held] = []
        for held in sorted(hits, key=lambda held: (-running[held.path], -len(held.layer.name.split(".")))):
            rivals = (h for h in found if h.span[0] <= held.span[1] and h.span[1] >= held.span[0])
            if all(_together(held, other) for other in rivals):
                found.append(held)
        return tuple(found)

    def ids(self, value: torch.Tensor) -> Ints | None:
        """The number of each element of a tensor; None for one that is no parameter nor made of any."""
        known = self.known.get(_key(value))
        if known is None:
            return None
        places = offsets(tuple(value.shape), value.stride(), int(value.storage_offset()))
        return known + places if isinstance(known, int) else known[places]


def _together(held: Held, other: Held) -> bool:
    """Whether two populations lie in one array side by side; else one is another name for what the other holds."""
    return held.layer.name == other.layer.name and held.population.name != other.population.name


def _running(layer: str, stack: Sequence[str]) -> int:
    """How deep a layer is among the modules that run now; 0 if it is none of them."""
    return max((place + 1 for place, name in enumerate(stack) if name == layer), default=0)


def _operands(name: str, args: Sequence[Any]) -> list[torch.Tensor]:
    if name == "einsum":
        return list(reversed(args[1]))
    places = (place for place in OPERANDS.get(name, ()) if place < len(args))
    return [args[place] for place in places if isinstance(args[place], torch.Tensor)]


def _free(name: str, args: Sequence[Any], value: torch.Tensor) -> Sequence[int]:
    """Along which axes of the weights no input lies: those of the outputs, and of a kernel."""
    if name == "einsum":
        letters, _, left = args[0].replace(" ", "").partition("->")
        given = letters.split(",")
        place = next(place for place, item in enumerate(args[1]) if item is value)
        others = "".join(given[:place] + given[place + 1 :])
        return [axis for axis, letter in enumerate(given[place]) if letter in left and letter not in others]
    if "conv" in name:
        return [1 if "transpose" in name else 0, *range(2, value.ndim)]
    if name == "tensordot" or value.ndim < 2:
        return []
    first = len(OPERANDS[name]) > 1 and args[OPERANDS[name][1]] is value
    return [0] if name == "bilinear" else [value.ndim - 2 if first or name == "linear" else value.ndim - 1]


def _whole_numbers(found: torch.Tensor) -> Ints:
    return np.asarray(found.nan_to_num(-1, -1, -1).to(torch.int64).numpy())


def _key(value: torch.Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def _whole(value: torch.Tensor) -> torch.Tensor:
    """All the memory that a tensor lies in, as one axis."""
    length = value.untyped_storage().nbytes() // value.element_size()
    return value.detach().as_strided((length,), (1,), 0)


def _laid(made: torch.Tensor, ids: Ints) -> Ints:
    """Numbers of a tensor's elements, by where they lie in its memory."""
    flat = torch.full((_whole(made).numel(),), -1)
    flat.as_strided(made.size(), made.stride(), made.storage_offset()).copy_(torch.from_numpy(ids))
    return np.asarray(flat.numpy())

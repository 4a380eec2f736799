"""From symbols of tensors to arrays: each a range of the file with strides, or why it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, overload

from ...arrays import DTYPES, Array, Storage
from ...errors import FileError
from .._safetensors_header import shown
from .._strided import Strided
from .._unread import Unread
from ..source import Source
from ..stored import Arrays
from .names import Leaf
from .quantised import Quantised
from .rebuild import item_size
from .sharing import Spot, sharing
from .symbols import NumpyArray, Refusal, Sparse, Tensor

__all__ = ["Bytes", "arrays_of"]

_FEW = 4
"""For so many layers the names are gone through; for more they are sorted."""
_NUMPY = {
    "b1": "bool",
    **{f"{sign}{size}": f"{'u' * (sign == 'u')}int{8 * size}" for sign in "iu" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
}


class Bytes:
    """Bytes that the pickle itself held, as a source."""

    __slots__ = ("_data", "_source", "path", "size")

    def __init__(self, source: Source, data: bytes) -> None:
        self.path = source.path
        self.size = len(data)
        self._data = data
        self._source = source

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FileError(self.path, f"{length} bytes were looked for at byte {offset} of {self.size}")
        return self._data[offset : offset + length]

    def refuse_changed(self) -> None:
        self._source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self._source.sibling(name)

    def close(self) -> None:
        self._source.close()


def _unread(source: Source, name: str, leaf: Tensor, why: str) -> Unread:
    return Unread(source.path, name, leaf.dtype, leaf.shape, f"it is not read: {why}")


def arrays_of(leaves: Sequence[Leaf], source: Source) -> tuple[Sequence[Array], list[str]]:
    """The arrays of all leaves, and what people should know of some.

    An array is made when it is looked for; where several tensors look at one storage, all are made and compared.
    """
    notes: list[str] = []
    leaves = _spread(leaves, notes)
    if len({leaf.key for _, leaf, _ in leaves if type(leaf) is Tensor and leaf.key}) == len(leaves):
        return _Made(leaves, source), notes
    arrays = [_array(leaf, source) for leaf in leaves]
    spots: dict[Any, list[Spot]] = {}
    for number, (_, leaf, _) in enumerate(leaves):
        if type(leaf) is Tensor and leaf.region is not None:
            spots.setdefault(leaf.region.key, []).append((number, leaf))
    for group in spots.values():
        if len(group) > 1:
            sharing(group, arrays)
    return tuple(arrays), notes


class _Made(Arrays):
    """Arrays that are made when they are looked for."""

    def __init__(self, leaves: Sequence[Leaf], source: Source) -> None:
        self._leaves = leaves
        self._source = source
        self._made: dict[int, Array] = {}
        self._asked = 0

    @cached_property
    def _layers(self) -> Mapping[str, Sequence[int]]:
        """Layer -> the numbers of its arrays."""
        found: dict[str, list[int]] = {}
        for number, (name, _, _) in enumerate(self._leaves):
            found.setdefault(name.rpartition(".")[0], []).append(number)
        return found

    def of(self, layer: str) -> Sequence[Array]:
        self._asked += 1
        if self._asked > _FEW:
            return [self[number] for number in self._layers.get(layer, ())]
        start = f"{layer}." if layer else ""
        found = [number for number, (name, _, _) in enumerate(self._leaves) if name.startswith(start)]
        return [self[number] for number in found if self._leaves[number][0].rpartition(".")[0] == layer]

    def beginning(self, text: str) -> int:
        return sum(name.startswith(text) for name, _, _ in self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)

    @overload
    def __getitem__(self, number: int) -> Array: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Array]: ...
    def __getitem__(self, number: int | slice) -> Array | Sequence[Array]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        found = self._made.get(number)
        if found is None:
            found = self._made[number] = _array(self._leaves[number], self._source)
        return found


def _array(leaf: Leaf, source: Source) -> Array:
    name, thing, role = leaf
    if type(thing) is NumpyArray:
        return _numpy(name, thing, role, source)
    return Array(name, name, thing.shape, thing.dtype, _storage(name, thing, source), role)


def _spread(leaves: Sequence[Leaf], notes: list[str]) -> Sequence[Leaf]:
    """The leaves with the parts of sparse tensors in their place."""
    if Sparse not in {type(leaf) for _, leaf, _ in leaves}:
        return leaves
    found: list[Leaf] = []
    for name, leaf, role in leaves:
        if type(leaf) is not Sparse:
            found.append((name, leaf, role))
            continue
        parts = [(f"{name}.{word}", part, role if word == "values" else "buffer") for word, part in leaf.parts.items()]
        found.extend(parts)
        shape, words = list(leaf.shape)[:8], ", ".join(path for path, _, _ in parts)
        notes.append(f"{shown(name)} is a sparse tensor ({leaf.layout}) of shape {shape}, stored as {words}")
    return found


def _storage(name: str, leaf: Tensor, source: Source) -> Storage:
    region, short = leaf.region, shown(name)
    if leaf.why or region is None or region.source is None:
        return _unread(source, short, leaf, leaf.why or "its storage has no numbers in the file")
    size = item_size(leaf.dtype)
    if leaf.steps:
        return _quantised(short, leaf, source)
    if leaf.dtype not in DTYPES or not size:
        return _unread(source, short, leaf, f"element type {shown(leaf.dtype)} is not one that is known")
    begin = region.begin + (0 if 0 in leaf.shape else leaf.offset * size)  # an empty view may begin behind the end
    found = Strided(region.source, short, leaf.dtype, leaf.shape, begin, _strides(leaf, size))
    found.swapped = region.swapped and size > 1
    found.note = leaf.note
    return found


def _strides(leaf: Tensor, size: int) -> tuple[int, ...] | None:
    """In bytes; None where the numbers lie in C order."""
    inside = 1
    for extent, stride in zip(reversed(leaf.shape), reversed(leaf.strides), strict=True):
        if stride != inside and extent != 1:
            return tuple([stride * size for stride in leaf.strides])
        inside *= extent
    return None


_CODES = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}


def _quantised(name: str, leaf: Tensor, source: Source) -> Storage:
    codes = _CODES.get(leaf.dtype)
    if codes is None:
        return _unread(source, name, leaf, f"its codes, of type {leaf.dtype}, share bytes")
    plain = Tensor(leaf.region, leaf.offset, leaf.shape, leaf.strides, codes)
    steps = leaf.steps[1:]
    given: list[Any] = []
    for step in steps[:2]:
        if type(step) is Tensor:
            held = _storage(f"{name} (its steps)", step, source)
            if not isinstance(held, Strided):
                return _unread(source, name, leaf, "its steps cannot be read")
            given.append(held)
        else:
            given.append(step)
    found = _storage(name, plain, source)
    if not isinstance(found, Strided):
        return found
    axis = steps[2] if len(steps) > 2 else -1
    return Quantised(found, leaf.dtype, given[0], given[1], axis)


def _numpy(name: str, leaf: NumpyArray, role: str, source: Source) -> Array:
    """An array whose numbers the pickle holds, checked against their count."""
    code, data, shape = leaf.dtype.code, leaf.data, leaf.shape
    if type(shape) is not tuple or not all(type(extent) is int and extent >= 0 for extent in shape) or len(shape) > 64:
        raise Refusal(f"the array {shown(name)!r} has no shape")
    dtype = _NUMPY.get(code, "")
    if not dtype or type(data) is not bytes:
        word = f"numpy {code[:20]}"
        why = f"it is a NumPy array of {'objects' if code in ('O', 'O8') else f'the element type {shown(code)!r}'}"
        return Array(name, name, shape, word, Unread(source.path, shown(name), word, shape, why), "buffer")
    size = DTYPES[dtype].size
    if prod(shape) * size != len(data):
        raise Refusal(f"the array {shown(name)!r} of shape {list(shape)[:8]} has {len(data):,} bytes"[:300])
    strides = None
    if leaf.fortran and len(shape) > 1:
        strides = tuple(size * prod(shape[:axis]) for axis in range(len(shape)))
    found = Strided(Bytes(source, data), shown(name), dtype, shape, 0, strides)
    found.swapped = leaf.dtype.order == ">" and size > 1
    found.note = "a NumPy array, held in the pickle"
    return Array(name, name, shape, dtype, found, role)

"""Quantised arrays seen as real numbers: a codec under the line decodes what is read, and nothing else.

The line of a kind describes the logical array; where a layer stores it packed, a `Codec` stands between the two. It
answers `read(key)` with what the framework's own dequantisation of everything has at that key, bit for bit, and decodes
the rows of the key alone (a column: block by block). Where a framework hides its numbers in an object that gives them
out as a whole only (torch.ao's packed parameters), that layer is unpacked once as 8-bit numbers and held until another
layer is read. Nothing is written: a number put back would be rounded to the codes that the format has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from ...axes import Key
from ...errors import KindError
from .storage import REFRESH, Slot

__all__ = ["BLOCK", "Codec", "Codecs", "Decoded", "by_rows", "nibbles", "of_quantised", "of_subclass", "plain"]

BLOCK = 1 << 20
"""How many numbers are decoded at once where a column is wanted."""
FULL = slice(None)


@dataclass(frozen=True, eq=False)
class Codec:
    """One logical array that is stored as codes.

    dtype     how it is stored, in a word: `qint8`
    words     the same in full: `qint8 with one scale a neuron`; empty for an array that is stored as it is
    decode    the real numbers at a key
    holder    the object that holds the codes; two arrays are tied if it and `part` are the same
    role      as that of `patchclamp.arrays.Array`
    stands_for  the name of the stored array that holds the codes, if it is another
    """

    shape: tuple[int, ...]
    dtype: str
    words: str
    decode: Callable[[Key], torch.Tensor]
    holder: Any
    part: str = ""
    role: str = "parameter"
    requires_grad: bool = False
    stands_for: str = ""

    @property
    def identity(self) -> tuple[Any, ...]:
        return ("codes", id(self.holder), self.part)


Codecs: TypeAlias = Mapping[str, Codec]
"""The decoded arrays of one module by name. They take the place of its stored arrays of that name, which hold codes."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded(Slot):
    """An array by its place in a module, decoded at each read: what was packed anew is read as it is now."""

    find: Callable[[torch.nn.Module], Codecs] = field(default=lambda module: {})

    def codec(self) -> Codec:
        """What stands there now. Raises KindError if it is not what was opened."""
        if self.replaced():
            raise KindError(f"the layer of {self.path} was replaced after the network was opened", REFRESH)
        found = self.find(self.module).get(self.name)
        if found is None or found.shape != self.shape:
            now = "is not packed as it was" if found is None else f"has shape {found.shape}"
            raise KindError(f"{self.path} {now}; when the network was opened it had shape {self.shape}", REFRESH)
        return found

    def read(self, key: Key = ()) -> torch.Tensor:
        """The real numbers at a key, decoded: a copy, so writing to it changes nothing in the model."""
        with torch.no_grad():
            return self.codec().decode(key)

    def tensor(self) -> torch.Tensor:
        return self.read()

    def stored(self) -> torch.Tensor | None:
        """There is no tensor that a write could go to."""
        return None

    @property
    def note(self) -> str:
        """How it is stored."""
        words = self.codec().words
        return f"stored as {words}" if words else ""

    def refusal(self) -> str:
        """Why it is not written."""
        words = self.codec().words
        how = f"is stored as {words}" if words else "lies in the layer's packed parameters"
        return f"{how}: it is read as real numbers, but not written"


# How to decode


def plain(value: Any, holder: Any, part: str, role: str = "buffer") -> Codec:
    """Numbers that are stored as they are, but not as a parameter or buffer of the module."""
    tensor = torch.as_tensor(value).detach()
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    return Codec(shape, dtype, "", lambda key: tensor[key].clone(), holder, part, role)


def by_rows(shape: Sequence[int], rows: Callable[[int, int], torch.Tensor]) -> Callable[[Key], torch.Tensor]:
    """Reading by key, where `rows(start, stop)` decodes some entries of the first axis."""
    count, each = shape[0], math.prod(shape[1:])

    def decode(key: Key) -> torch.Tensor:
        first, rest = (key[0], key[1:]) if key else (FULL, ())
        if isinstance(first, int):
            first = first % count
            return rows(first, first + 1)[0][rest].clone()
        start, stop, step = first.indices(count)
        chosen = range(start, stop, step)
        if not chosen:
            return rows(0, min(count, 1))[(slice(0, 0), *rest)].clone()
        if all(index == FULL for index in rest) and step == 1:
            return rows(start, stop)
        return torch.cat([part[(FULL, *rest)].clone() for part in _blocks(chosen, each, rows)])

    return decode


def _blocks(chosen: range, each: int, rows: Callable[[int, int], torch.Tensor]) -> Iterator[torch.Tensor]:
    """Some rows, a block at a time."""
    many = max(1, BLOCK // max(each, 1) // chosen.step)
    for first in range(0, len(chosen), many):
        part = chosen[first : first + many]
        yield rows(part.start, part[-1] + 1)[:: chosen.step]


def nibbles(data: torch.Tensor, start: int, stop: int, *, high_first: bool) -> torch.Tensor:
    """The 4-bit codes start..stop of a flat array of bytes, two in each."""
    some = data.reshape(-1)[start // 2 : (stop + 1) // 2]
    low, high = some & 15, some >> 4
    pair = torch.stack((high, low) if high_first else (low, high), dim=-1).reshape(-1)
    return pair[start % 2 : start % 2 + stop - start]


def of_quantised(tensor: torch.Tensor, holder: Any, part: str) -> Codec:
    """A quantised tensor of torch: (code - zero point) * scale, one of each for all or for each entry of an axis."""
    shape, name = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        scale, zero = torch.tensor(tensor.q_scale(), dtype=torch.float32), torch.tensor(float(tensor.q_zero_point()))
        words = f"{name} with one scale, {tensor.q_scale():.6g}, and zero point {tensor.q_zero_point()}"
    else:
        axis = tensor.q_per_channel_axis()
        across = [-1 if dim == axis else 1 for dim in range(len(shape))]
        scale = tensor.q_per_channel_scales().float().reshape(across)
        zero = tensor.q_per_channel_zero_points().float().reshape(across)
        words = f"{name} with {len(scale.reshape(-1))} scales, one for each index of axis {axis}"
    wide_scale, wide_zero = scale.expand(shape), zero.expand(shape)
    codes = _codes(tensor)
    return Codec(shape, name, words, lambda key: (codes(key) - wide_zero[key]) * wide_scale[key], holder, part)


def _codes(tensor: torch.Tensor) -> Callable[[Key], torch.Tensor]:
    """The codes of a quantised tensor at a key, as float32; its memory is seen, not copied."""
    shape = tuple(tensor.shape)
    whole = {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32}.get(tensor.dtype)
    if whole is not None:
        memory: Any = torch.empty(0, dtype=whole)
        seen = memory.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())
        return lambda key: seen[key].to(torch.float32)
    if tensor.dtype != torch.quint4x2:
        return lambda key: tensor.int_repr()[key].to(torch.float32)
    packed = tensor.int_repr()
    each = math.prod(shape[1:])

    def rows(start: int, stop: int) -> torch.Tensor:
        found = nibbles(packed, start * each, stop * each, high_first=False)
        return found.reshape(stop - start, *shape[1:]).to(torch.float32)

    return by_rows(shape, rows)


def of_subclass(value: torch.Tensor, part: str) -> Codec:
    """A tensor whose class has a `dequantize` of its own (torchao, quanto): rows are decoded alone where it lets them.

    Such classes slice rows, but refuse columns and steps: columns are cut from decoded rows.
    """
    shape, name = tuple(value.shape), type(value).__name__
    inner = [one for key in _inner(value) if isinstance(one := getattr(value, key, None), torch.Tensor)]
    codes = next((str(one.dtype).removeprefix("torch.") for one in inner if one.element_size() == 1), "")
    words = f"{name}, {codes} codes" if codes else name
    kept: Any = value.detach()
    decode = by_rows(shape, lambda start, stop: _subclass_rows(kept, start, stop)) if shape else _at_once(kept)
    return Codec(shape, name, words, decode, value, part, requires_grad=value.requires_grad)


def _inner(value: Any) -> Sequence[str]:
    """The names of the tensors inside a tensor subclass."""
    flatten = getattr(value, "__tensor_flatten__", None)
    if flatten is None:
        return ()
    names: Sequence[str] = flatten()[0]
    return names


def _at_once(value: Any) -> Callable[[Key], torch.Tensor]:
    def decode(key: Key) -> torch.Tensor:
        found: torch.Tensor = value.dequantize()[key]
        return found

    return decode


def _subclass_rows(value: Any, start: int, stop: int) -> torch.Tensor:
    """These rows as real numbers. A tensor type that refuses slices is decoded whole: dearer, and the same numbers."""
    if start == 0 and stop == value.shape[0]:
        found: torch.Tensor = value.dequantize()
        return found
    try:
        part = value[start:stop]
        decoded: torch.Tensor = part if type(part) is torch.Tensor else part.dequantize()
        if decoded.shape == (stop - start, *value.shape[1:]):
            return decoded
    except (NotImplementedError, AssertionError, RuntimeError, IndexError, ValueError, TypeError):
        pass
    whole: torch.Tensor = value.dequantize()[start:stop]
    return whole

"""The directory of a GGUF file: what it says of itself, and where each tensor lies; all of it checked first.

Source: ggml's docs/gguf.md. After the magic bytes come the version and two counts, then keys with values, then the
names, shapes, types and offsets of the tensors; the numbers follow at a multiple of the alignment. Version 1 had 32-bit
lengths. Not built are the tokenizer's lists of strings, by far the longest part.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

from ...errors import FileError
from ...frozen import dataclass
from .._safetensors_header import shown
from ..source import Source
from .cursor import Cursor
from .kinds import TYPES, Packing

__all__ = ["Directory", "Tensor", "read_directory"]

MAGIC = b"GGUF"
VERSIONS = (1, 2, 3)
ALIGNMENT = 32
NAME_MOST = 4096
"""Longest name of a key or a tensor, in bytes."""
TEXT_MOST = 4096
"""Longest string that is kept, in bytes; longer ones are stepped over."""
LIST_MOST = 1024
"""Longest list of numbers that is kept: one for each block of a network."""
VALUES_MOST = 65_536
TENSORS_MOST = 32_768
DIMENSIONS = 4
AXIS_MOST = 1 << 48
"""Longest axis, also where another has length 0 and there are no numbers."""

_SHORT = "the file is cut short; download or copy it again"
_DAMAGED = "the file is damaged or was not written as GGUF; download or save it again"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `shape` with the last axis the fastest (the file has it the other way), `begin` in the file."""

    name: str
    packing: Packing
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return prod(self.shape) // self.packing.numbers * self.packing.size


@dataclass(frozen=True, slots=True)
class Directory:
    """What a file says of itself (`values`: numbers, short strings, short lists of numbers), and its tensors."""

    version: int
    swapped: bool
    values: Mapping[str, object]
    tensors: tuple[Tensor, ...]


def read_directory(source: Source) -> Directory:
    """The directory of an open file. FileError for whatever is wrong in it; no number of a tensor is read."""
    version, swapped = _version(source)
    cursor = Cursor(source, 8, ">" if swapped else "<", wide=version > 1)
    tensor_count, value_count = cursor.length("the number of tensors"), cursor.length("the number of keys")
    _refuse_counts(cursor, tensor_count, value_count)
    values = _values(cursor, value_count)
    alignment = _alignment(source, values)
    listed = [_tensor(cursor) for _ in range(tensor_count)]
    begin = -(-cursor.place // alignment) * alignment
    tensors = [_placed(source, tensor, begin, alignment) for tensor in listed]
    _refuse_doubles(source, tensors)
    _refuse_overlaps(source, tensors)
    return Directory(version, swapped, values, tuple(tensors))


def _version(source: Source) -> tuple[int, bool]:
    """The version, and whether the file is big-endian: then the number's upper half is the lower one."""
    if source.size < 24:
        reason = f"the file has {source.size} bytes; the shortest GGUF file has 24"
        raise FileError(source.path, reason, place="byte 0", hint=_SHORT)
    head = source.read(0, 8)
    if head[:4] != MAGIC:
        raise FileError(source.path, "the file does not begin with 'GGUF'", place="byte 0", hint=_DAMAGED)
    swapped = not int.from_bytes(head[4:8], "little") & 0xFFFF
    version = int.from_bytes(head[4:8], "big" if swapped else "little")
    if version not in VERSIONS:
        reason = f"this is version {version} of the format; versions 1 to 3 are read"
        raise FileError(source.path, reason, place="byte 4", hint="convert it with a current llama.cpp")
    return version, swapped


def _refuse_counts(cursor: Cursor, tensors: int, values: int) -> None:
    """A key takes 13 bytes at least and a tensor 24, fewer in version 1."""
    for count, most, least, what in ((tensors, TENSORS_MOST, 20, "tensors"), (values, VALUES_MOST, 9, "keys")):
        if count > most or count * least > cursor.left:
            limit = f"at most {most:,} are read" if count > most else f"the file has {cursor.left} bytes left"
            raise cursor.error(f"it is said to hold {count:,} {what}, {limit}", 8)


def _values(cursor: Cursor, count: int) -> dict[str, object]:
    values: dict[str, object] = {}
    for _ in range(count):
        at = cursor.place
        key = cursor.text("the name of a key", NAME_MOST)
        if key in values:
            raise cursor.error(f"the key {shown(key)!r} is there twice", at)
        what = f"the value of {shown(key)!r}"
        wanted = 0 if key.startswith("tokenizer.") else LIST_MOST
        values[key] = cursor.value(cursor.unsigned(what), what, TEXT_MOST if wanted else 0)
    return values


def _alignment(source: Source, values: Mapping[str, object]) -> int:
    alignment = values.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        reason = f"the alignment is given as {shown(str(alignment))}, which is no power of two"
        raise FileError(source.path, reason, place="'general.alignment'", hint=_DAMAGED)
    return alignment


def _tensor(cursor: Cursor) -> Tensor:
    """A tensor as it is listed; `begin` counts from where the numbers begin."""
    at = cursor.place
    name = cursor.text("the name of a tensor", NAME_MOST)
    what = f"the entry of tensor {shown(name)!r}"
    dimensions = cursor.unsigned(what)
    if dimensions > DIMENSIONS:
        raise cursor.error(f"tensor {shown(name)!r} has {dimensions} axes; the format has at most {DIMENSIONS}", at)
    shape = tuple(cursor.length(what) for _ in range(dimensions))[::-1]
    if any(size > AXIS_MOST for size in shape):
        raise cursor.error(f"tensor {shown(name)!r} has an axis of {max(shape):,} numbers", at)
    kind = cursor.unsigned(what)
    if kind not in TYPES:
        raise cursor.error(f"tensor {shown(name)!r} has the element type {kind}, which is not known", at)
    return Tensor(name, TYPES[kind], shape, int(cursor.number(10, what)))


def _placed(source: Source, tensor: Tensor, begin: int, alignment: int) -> Tensor:
    """The tensor at its place in the file. FileError where it cannot lie there."""
    packing, offset = tensor.packing, tensor.begin
    placed = Tensor(tensor.name, packing, tensor.shape, begin + offset)
    blocked = (tensor.shape[-1] if tensor.shape else 1) % packing.numbers
    last = placed.begin + placed.size
    if blocked:
        numbers = f"{packing.name} packs {packing.numbers} numbers at a time"
        reason, hint = f"{numbers}, its rows have {tensor.shape[-1] if tensor.shape else 1}", _DAMAGED
    elif offset % alignment:
        reason, hint = f"its offset {offset} is no multiple of the alignment {alignment}", _DAMAGED
    elif last > source.size:
        reason, hint = f"its numbers end at byte {last}, the file has {source.size}", _SHORT
    else:
        return placed
    raise FileError(source.path, reason, place="directory", array=shown(tensor.name), hint=hint)


def _refuse_doubles(source: Source, tensors: list[Tensor]) -> None:
    for one, other in pairwise(sorted(tensor.name for tensor in tensors)):
        if one == other:
            raise FileError(source.path, "two tensors have this name", array=shown(one), hint=_DAMAGED)


def _refuse_overlaps(source: Source, tensors: list[Tensor]) -> None:
    held = sorted((tensor.begin, tensor.begin + tensor.size, tensor.name) for tensor in tensors if tensor.size)
    for (_, end, one), (begin, _, other) in pairwise(held):
        if begin < end:
            reason = f"it begins at byte {begin}, and {shown(one)!r} goes on to byte {end}"
            raise FileError(source.path, reason, place="directory", array=shown(other), hint=_DAMAGED)

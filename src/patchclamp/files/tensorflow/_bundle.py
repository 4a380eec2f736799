"""What a checkpoint's index says of each tensor: the entries of a tensor bundle and where their bytes lie.

Source: tensorflow/core/protobuf/tensor_bundle.proto and tensorflow/core/util/tensor_bundle of tensorflow/tensorflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NoReturn

from ...arrays import DTYPES
from ...errors import FileError
from ...frozen import dataclass
from .._protobuf import Field, Malformed, fields, signed, varint
from ..source import Source
from ._table import read_table

__all__ = ["GRAPH_MOST", "STRING", "Bundle", "Entry", "open_bundle"]

STRING = "string"
GRAPH_MOST = 64 << 20
"""Longest text that is read from a checkpoint: the graph of its objects."""
_TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: STRING,
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    29: "int4",
    30: "uint4",
}
"""The numbers of tensorflow/core/framework/types.proto."""
_SHARDS_MOST = 1024
_AXES_MOST = 32
_DAMAGED = "the checkpoint is damaged; copy it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: `slices` are the parts that a partitioned one is stored in, each axis as (start, length)."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    slices: tuple[tuple[tuple[int, int], ...], ...] = ()


class Bundle:
    """An open checkpoint: `entries` by key, `parts` those of partitioned tensors by their packed key.

    `shard(n)` is the source that holds a shard's numbers, opened when it is first asked for.
    """

    __slots__ = ("_count", "_shards", "entries", "index", "parts", "swapped")

    def __init__(self, index: Source, table: Mapping[bytes, bytes]) -> None:
        self.index = index
        self._count, self.swapped = _header(index, table.get(b"", b""))
        self._shards: dict[int, Source] = {}
        self.entries: dict[str, Entry] = {}
        self.parts: dict[bytes, Entry] = {}
        for key, value in table.items():
            if not key:
                continue
            entry = _entry(index, key, value, self._count)
            if key[0] == 0:
                self.parts[key] = entry
            else:
                self.entries[entry.key] = entry

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.index, *self._shards.values())

    def shard(self, number: int) -> Source:
        """The file of one shard, beside the index. FileError where it is not there."""
        if number not in self._shards:
            if len(self._shards) >= _SHARDS_MOST:
                _refuse(self.index, f"its numbers lie in more than {_SHARDS_MOST} files")
            stem = self.index.path.replace("\\", "/").rpartition("/")[2].removesuffix(".index")
            self._shards[number] = self.index.sibling(f"{stem}.data-{number:05d}-of-{self._count:05d}")
        return self._shards[number]

    def refuse_short(self) -> None:
        """FileError where the numbers of any tensor, also of one that is not shown, end behind their file."""
        for entry in (*self.entries.values(), *self.parts.values()):
            end, size = entry.offset + entry.size, self.shard(entry.shard).size
            if end > size and not entry.slices:
                _refuse(self.shard(entry.shard), f"its numbers end at byte {end}, the file has {size}", entry.key)

    def text(self, entry: Entry) -> bytes:
        """The bytes of a single string. They stand behind its length and a checksum of that length."""
        source = self.shard(entry.shard)
        if entry.shape or entry.size > GRAPH_MOST or entry.offset + entry.size > source.size:
            _refuse(
                source, f"a text of {entry.size:,} bytes at byte {entry.offset} does not lie in the file", entry.key
            )
        data = source.read(entry.offset, entry.size)
        try:
            length, at = varint(data, 0, len(data))
        except Malformed as error:
            _refuse(source, error.reason, entry.key)
        if at + 4 + length != len(data):
            _refuse(source, f"a text of {length:,} bytes is said to take {entry.size:,}", entry.key)
        return data[at + 4 :]

    def close(self) -> None:
        for source in self.sources:
            source.close()


def open_bundle(index: Source) -> Bundle:
    """Read the whole index of a checkpoint, checked; no numbers are read. FileError for what is wrong with it."""
    table = read_table(index)
    if b"" not in table:
        raise FileError(index.path, "the index has no header", place="key ''", hint=_DAMAGED)
    return Bundle(index, table)


def _header(index: Source, data: bytes) -> tuple[int, bool]:
    """How many files hold the numbers, and whether those are big-endian."""
    found = dict.fromkeys((1, 2), 0)
    for number, wire, value, _ in _fields(index, data, "key ''"):
        if wire == 0 and number in found:
            found[number] = value
    if not 0 < found[1] < 1 << 31 or found[2] > 1:
        reason = f"the header states {found[1]} files and byte order {found[2]}"
        raise FileError(index.path, reason, place="key ''", hint=_DAMAGED)
    return found[1], found[2] == 1


def _entry(index: Source, key: bytes, data: bytes, shards: int) -> Entry:
    name = key.decode("utf-8", "backslashreplace")
    numbers = dict.fromkeys((1, 3, 4, 5), 0)
    shape: tuple[int, ...] = ()
    slices = []
    for number, wire, value, end in _fields(index, data, name):
        if wire == 0 and number in numbers:
            numbers[number] = signed(value)
        elif number == 2 and wire == 2:
            shape = _shape(index, data[value:end], name)
        elif number == 7 and wire == 2:
            slices.append(_slice(index, data[value:end], name))
    dtype = _TYPES.get(numbers[1], f"type {numbers[1]}")
    entry = Entry(name, dtype, shape, numbers[3], numbers[4], numbers[5], tuple(slices))
    if not 0 <= entry.shard < shards or entry.offset < 0 or entry.size < 0:
        reason = f"it lies in file {entry.shard} of {shards}, at byte {entry.offset}, with {entry.size} bytes"
        raise FileError(index.path, reason, array=name[:200], hint=_DAMAGED)
    wanted = prod(shape) * DTYPES[dtype].size if dtype in DTYPES else entry.size
    if not slices and wanted != entry.size:
        reason = f"shape {list(shape)[:8]} of {dtype} takes {wanted:,} bytes, it is said to have {entry.size:,}"
        raise FileError(index.path, reason, array=name[:200], hint=_DAMAGED)
    return entry


def _shape(index: Source, data: bytes, name: str) -> tuple[int, ...]:
    """The extents of a TensorShapeProto; one without any is a single number."""
    shape = []
    for number, wire, value, end in _fields(index, data, name):
        if number == 2 and wire == 2:
            shape.append(_last(index, data[value:end], 1, name))
        elif number == 3 and value:
            _refuse(index, "its shape is not known", name)
    if len(shape) > _AXES_MOST or any(extent < 0 for extent in shape):
        _refuse(index, f"its shape {shape[:8]} is none that a tensor can have", name)
    return tuple(shape)


def _slice(index: Source, data: bytes, name: str) -> tuple[tuple[int, int], ...]:
    """One part of a partitioned tensor (TensorSliceProto): start and length of each axis; -1 is all of it."""
    found = []
    for number, wire, value, end in _fields(index, data, name):
        if number == 1 and wire == 2:
            extent = data[value:end]
            lengths = [signed(v) for n, w, v, _ in _fields(index, extent, name) if (n, w) == (2, 0)]
            found.append((_last(index, extent, 1, name), lengths[-1] if lengths else -1))
    return tuple(found)


def _last(index: Source, data: bytes, wanted: int, name: str) -> int:
    """The integer of a field, 0 where it is left out; of several the last counts, as protocol buffers have it."""
    found = 0
    for number, wire, value, _ in _fields(index, data, name):
        if number == wanted and wire == 0:
            found = signed(value)
    return found


def _fields(index: Source, data: bytes, name: str) -> Iterator[Field]:
    try:
        yield from fields(data, 0, len(data))
    except Malformed as error:
        _refuse(index, f"its entry cannot be read: {error.reason}", name)


def _refuse(source: Any, reason: str, name: str = "") -> NoReturn:
    raise FileError(source.path, reason, array=name[:200], hint=_DAMAGED)

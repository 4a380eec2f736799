"""safetensors files: read any part of any array by byte range, write, and rewrite in place; standard library only.

The format (huggingface/safetensors): 8 bytes, the header's length as a little-endian integer; the header, a JSON object
that gives each array its element type, shape and byte offsets; the numbers, in C order, without holes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from itertools import pairwise
from math import prod
from types import TracebackType
from typing import cast, overload

from ..arrays import DTYPES, Array
from ..axes import Key
from ..errors import AddressError, EditError, FileError, nearest
from ..frozen import dataclass, field
from ._atomic import put, replacing
from ._handle import FileHandle
from ._ranges import Hyperslab, blocks, scatter
from ._safetensors_header import HEADER_MOST, WORDS, Entry, Header, encodable, shown
from ._strided import BLOCK, GAP, Strided
from .source import Source
from .stored import Arrays, Stored

__all__ = ["SafetensorsFile", "Tensor", "open_file", "open_source", "rewrite", "sniff", "write"]

Tensor = tuple[str, str, tuple[int, ...], Iterable[bytes | memoryview]]
"""One array to write: name, element type ("float32"), shape, its bytes in any number of chunks."""

_ORDER = {name: place for place, (name, _) in enumerate(WORDS.values())}
_WORD_OF = {name: word for word, (name, _) in WORDS.items() if name in DTYPES}


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` (9 bytes or more) and has `size` bytes could be a safetensors file.

    >>> sniff(b"\\x02\\0\\0\\0\\0\\0\\0\\0{}", 10)
    True
    >>> sniff(b"PK\\x03\\x04 a zip file", 5000)
    False
    """
    return size >= 10 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= HEADER_MOST


@dataclass(frozen=True, slots=True, eq=False)
class SafetensorsFile:
    """An open file: its `metadata` and `arrays` (in the header's order). Close it, use `with`, or let it go.

    >>> write("/tmp/patchclamp-example.safetensors", [("fc.weight", "uint8", (2, 3), [b"abc", b"def"])])
    >>> with open_file("/tmp/patchclamp-example.safetensors") as file:
    ...     weight = file.arrays[0]
    ...     weight.name, weight.shape, weight.dtype, weight.read((slice(None), 1)).data
    ('fc.weight', (2, 3), 'uint8', b'be')
    >>> os.remove("/tmp/patchclamp-example.safetensors")
    """

    path: str
    metadata: dict[str, str]
    arrays: tuple[Array, ...]
    source: Source = field(repr=False)

    def close(self) -> None:
        """Close the file; arrays cannot be read from it any more."""
        self.source.close()

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_file(path: str | os.PathLike[str]) -> SafetensorsFile:
    """Open a file and check its whole header; no numbers are read. FileError names what is wrong and where."""
    handle = FileHandle(path)
    try:
        return _read(handle)
    except BaseException:
        handle.close()
        raise


def open_source(source: Source) -> Stored:
    """The same as what every format gives. What the header says of an array is checked when its layer is looked for."""
    header = Header(source)
    return Stored(source.path, "safetensors", _Arrays(source, header), metadata=header.metadata, sources=(source,))


def _read(source: Source) -> SafetensorsFile:
    header = Header(source)
    return SafetensorsFile(source.path, header.metadata, tuple(_Arrays(source, header)), source)


class _Arrays(Arrays):
    """The arrays of a file, in the header's order."""

    def __init__(self, source: Source, header: Header) -> None:
        self._source = source
        self._header = header
        self._made: dict[str, Array] = {}

    def of(self, layer: str) -> list[Array]:
        return [self._array(entry) for entry in self._header.of(layer)]

    def beginning(self, text: str) -> int:
        return self._header.beginning(text)

    def __len__(self) -> int:
        return len(self._header.entries)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | Sequence[Array]:
        found = self._header.entries[index]
        return self._array(found) if isinstance(found, Entry) else [self._array(entry) for entry in found]

    def _array(self, entry: Entry) -> Array:
        """The array of an entry: the same one each time."""
        made = self._made.get(entry.name)
        if made is None:
            place = Strided(self._source, shown(entry.name), entry.dtype, entry.shape, entry.begin)
            made = self._made[entry.name] = Array(entry.name, entry.name, entry.shape, entry.dtype, place)
        return made


def write(path: str | os.PathLike[str], tensors: Iterable[Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file, whole or not at all; the bytes are those of the reference writer.

    Chunks are raw little-endian bytes. Those of a tensor are pulled when its turn comes, in the file's order: widest element type first, then by
    name. At no time is more than one chunk held. FileError if a name, type or byte count is wrong or the disk refuses;
    then, and after any other exception, a file already at `path` is as it was.

    >>> write("/tmp/patchclamp-example.safetensors", [("b", "uint8", (2,), [b"x"])])
    Traceback (most recent call last):
    patchclamp.errors.FileError: /tmp/patchclamp-example.safetensors in array 'b': got 1 bytes, shape [2] of uint8 takes 2
      hint: nothing was changed
    """  # noqa: E501
    wanted = list(tensors)
    for tensor in wanted:
        _check(path, tensor)
    wanted.sort(key=lambda tensor: (-_ORDER[tensor[1]], tensor[0]))
    for one, other in pairwise(sorted(name for name, *_ in wanted)):
        if one == other:
            raise FileError(os.fspath(path), "two arrays have this name", array=shown(one), hint="nothing was changed")
    header = _header(path, wanted, metadata or {})
    with replacing(path) as file:
        put(path, file, len(header).to_bytes(8, "little") + header)
        for tensor in wanted:
            _put_tensor(path, file, tensor)


def _check(path: str | os.PathLike[str], tensor: Tensor) -> None:
    name, dtype, shape, _ = tensor
    if dtype not in _WORD_OF:
        reason = f"the format has no element type {dtype!r}"
        hint = f"it has {', '.join(_WORD_OF)}"
    elif not isinstance(name, str) or name == "__metadata__" or not encodable(name):
        reason, hint = "this cannot be the name of an array", "use text; '__metadata__' is taken"
    elif any(type(extent) is not int or extent < 0 for extent in shape):
        reason, hint = f"the shape {shape!r} is not made of integers from 0 up", "give a tuple of ints"
    else:
        return
    raise FileError(os.fspath(path), f"cannot be written: {reason}", array=shown(str(name)), hint=hint)


def _nbytes(tensor: Tensor) -> int:
    return prod(tensor[2]) * DTYPES[tensor[1]].size


def _header(path: str | os.PathLike[str], tensors: list[Tensor], metadata: Mapping[str, str]) -> bytes:
    """The JSON header, padded with spaces so that the numbers begin at a multiple of 8."""
    if not all(isinstance(text, str) and encodable(text) for pair in metadata.items() for text in pair):
        raise FileError(os.fspath(path), "cannot be written: metadata must map text to text", hint="use str(value)")
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    begin = 0
    for tensor in tensors:
        end = begin + _nbytes(tensor)
        header[tensor[0]] = {"dtype": _WORD_OF[tensor[1]], "shape": list(tensor[2]), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_MOST:
        reason = f"cannot be written: the header would have {len(text)} bytes, the format allows {HEADER_MOST}"
        raise FileError(os.fspath(path), reason, hint="store fewer arrays, or less metadata")
    return text


def _put_tensor(path: str | os.PathLike[str], file: FileIO, tensor: Tensor) -> None:
    name, dtype, shape, chunks = tensor
    wanted, got = _nbytes(tensor), 0
    for chunk in chunks:
        data = _flat(chunk)
        got += len(data)
        if got > wanted:
            break
        put(path, file, data)
    if got != wanted:
        more = " or more" if got > wanted else ""
        reason = f"got {got} bytes{more}, shape {list(shape)} of {dtype} takes {wanted}"
        raise FileError(os.fspath(path), reason, array=shown(name), hint="nothing was changed")


def _flat(chunk: bytes | memoryview) -> memoryview:
    """The bytes of a buffer in C order, without a copy where it is contiguous."""
    view = memoryview(chunk)
    plain = view.c_contiguous and view.nbytes and len(view.format) == 1
    return view.cast("B") if plain else memoryview(view.tobytes())


def rewrite(
    path_in: str | os.PathLike[str],
    path_out: str | os.PathLike[str],
    changes: Mapping[str, list[tuple[Key, bytes]]],
) -> None:
    """Copy a file with other bytes at some keys of some arrays; all other bytes, the header included, stay the same.

    `changes` gives each array its keys and, in row-major order of the key's shape, the new bytes; where keys overlap,
    the last one stands. The paths may be equal. Whole or not at all, as `write`. Before anything is touched:
    AddressError for an array or key that is not there, EditError for a wrong number of bytes, FileError for a bad file.

    >>> path = "/tmp/patchclamp-example.safetensors"
    >>> write(path, [("fc.weight", "uint8", (2, 3), [b"abcdef"])])
    >>> rewrite(path, path, {"fc.weight": [((slice(None), 1), b"XY")]})
    >>> with open_file(path) as file:
    ...     file.arrays[0].read().data
    b'aXcdYf'
    >>> os.remove(path)
    """
    with open_file(path_in) as file:
        plan = _plan(file, changes)
        with replacing(path_out) as target:
            handle = cast(FileHandle, file.source)
            for offset in range(handle.copy_to(target), file.source.size, BLOCK):
                length = min(BLOCK, file.source.size - offset)
                put(path_out, target, file.source.read(offset, length))
            file.source.refuse_changed()
            for where, data in plan:
                _change(path_out, target, where, data)


def _plan(
    source: SafetensorsFile, changes: Mapping[str, list[tuple[Key, bytes]]]
) -> list[tuple[Hyperslab, memoryview]]:
    storages = {array.name: cast(Strided, array.storage) for array in source.arrays}
    plan = []
    for name, edits in changes.items():
        if name not in storages:
            raise AddressError(f"{source.path} has no array {shown(name)!r}", nearest(name, storages))
        for key, data in edits:
            where = storages[name].locate(key)
            flat = _flat(data)
            if len(flat) != where.nbytes:
                reason = f"{source.path} in array {shown(name)!r}: got {len(flat)} bytes"
                hint = "nothing was changed; give the bytes in the array's own element type"
                raise EditError(f"{reason}, the key {key} takes {where.nbytes}", hint)
            plan.append((where, flat))
    return plan


def _change(path: str | os.PathLike[str], file: FileIO, where: Hyperslab, data: memoryview) -> None:
    """Lay `data` over the bytes of `where` in a file that is being made."""
    done = 0
    for block in blocks(where, BLOCK, GAP):
        if block.levels:
            wanted = where.run * prod(count for count, _ in block.levels)
            file.seek(block.offset)
            held = bytearray(_exactly(file, block.length))
            scatter(held, data[done : done + wanted], where.run, block.levels)
        else:
            wanted = block.length
            held = bytearray(data[done : done + wanted])
        file.seek(block.offset)
        put(path, file, memoryview(held))
        done += wanted


def _exactly(file: FileIO, length: int) -> bytes:
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)

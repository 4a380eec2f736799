"""NumPy's files: `.npy`, one array behind a small header, and `.npz`, a zip archive of those.

Source: numpy/lib/_format_impl.py of numpy/numpy ("NPY format"). The header is a Python dict literal; it is read by a small
parser of exactly that dict, never evaluated. Arrays of objects are pickles, which run code: they are listed and not read.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from threading import Lock
from typing import NoReturn

from ..arrays import DTYPES, Array
from ..errors import FileError
from ..frozen import dataclass
from ._flat_names import layered
from ._safetensors_header import shown
from ._strided import Strided
from ._unread import Unread
from ._zip import STORED, Archive
from .source import Source
from .stored import Stored

__all__ = ["open_archive", "open_source", "sniff"]

MAGIC = b"\x93NUMPY"
HEADER_MOST = 10_000
"""Longest header in bytes that NumPy reads, unless it is told to trust the file."""
_AXES_MOST = 64  # NumPy's own limit
_PIECE = 4096  # bytes that hold the header of almost every file
_TOKEN = re.compile(r"\s*(?:'([^'\\\n]*)'|\"([^\"\\\n]*)\"|(True|False)|([0-9]{1,19})L?(?![0-9])|([{}()\[\]:,]))")
_DTYPE = re.compile(r"([<>|=])([a-zA-Z])([0-9]{0,9})(?:\[[^\]]*\])?")
_NAMES = {kind.typestr[1:]: name for name, kind in DTYPES.items() if kind.typestr}
_WORDS = {"U": "text", "S": "bytes", "M": "datetime64", "m": "timedelta64", "V": "void"}
_BAD = "the file is damaged or was not written by NumPy; save it again"
_SHORT = "the file is damaged or cut short; download or save it again"
_PICKLED = "it is an array of Python objects, which is stored as a pickle; a pickle runs code, so it is not read"
_STRUCTURED = "its elements are records of several fields, which are not read"


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the numbers: NumPy's word for the element type ("" for records), and where they begin."""

    descr: str
    fortran: bool
    shape: tuple[int, ...]
    begin: int


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a `.npy` file.

    >>> sniff(b"\\x93NUMPY\\x01\\x00v\\x00{'descr'", 200)
    True
    """
    return size >= 10 and head.startswith(MAGIC)


def open_source(source: Source) -> Stored:
    """A `.npy` file as a network of one array, which has the name of the file. FileError for a bad header or size."""
    name = source.path.replace("\\", "/").rpartition("/")[2].removesuffix(".npy") or "array"
    array = _array(source, name, name)
    return Stored(source.path, "NumPy array", (array,), notes=_notes((array,), []), sources=(source,))


def open_archive(archive: Archive) -> Stored:
    """A `.npz` file: of each array only the header is read. FileError if one is not as the format has it."""
    members = _Members(archive)
    names = {member: member.removesuffix(".npy") for member in archive.members if member.endswith(".npy")}
    headers = {member: (source := members.source(member), _header(source)) for member in names}
    paths, aliases = _paths({names[member]: header.shape for member, (_, header) in headers.items()})
    arrays = []
    for member, (source, header) in headers.items():
        path = paths[names[member]]
        storage = _storage(source, path, header)
        stored = "" if path == names[member] else f"named {shown(names[member])!r} in the file"
        storage.note = "; ".join(filter(None, (stored, *_packing(archive, member), storage.note)))
        arrays.append(Array(path, path, header.shape, storage.dtype, storage))
    others = [name for name in archive.members if name not in names and not name.endswith("/")]
    notes = _notes(tuple(arrays), others)
    return Stored(archive.source.path, "NumPy archive", tuple(arrays), {}, aliases, {}, notes, (archive.source,))


def _packing(archive: Archive, member: str) -> tuple[str, ...]:
    if archive.members[member].method == STORED:
        return ()
    return ("deflated: a part of it is read by unpacking what stands before it",)


def _paths(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, str], dict[str, str]]:
    """Stored name -> layer and word with a dot between; and the layers' names in the file, where those differ.

    `layer1/kernel` is the kernel of layer1. A name that would become that of another array stays as it is.
    """
    split = layered(shapes)
    paths: dict[str, str] = {}
    aliases: dict[str, str] = {}
    taken = {*shapes, *split.values()}
    for name in shapes:
        path = split.get(name) or name.replace("/", ".")
        if path != name and name not in split and path in taken:
            path = name
        taken.add(path)
        paths[name] = path
        layer = name.rpartition("/")[0]
        if "/" in layer and path == name.replace("/", "."):
            aliases[layer] = path.rpartition(".")[0]
    layers = {path.rpartition(".")[0] for path in paths.values()}
    return paths, {alias: layer for alias, layer in aliases.items() if alias not in layers}


class _Members:
    """The members of an archive as sources. Of the deflated ones only the one read last keeps its unpacker.

    An unpacker has a place where it stands, so one thread reads at a time.
    """

    __slots__ = ("_archive", "_last", "_lock", "_name")

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._name = ""
        self._last: Source | None = None
        self._lock = Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return _Members, (self._archive,)

    def source(self, name: str) -> Source:
        member = self._archive.members[name]
        return self._archive.open(name) if member.method == STORED else _Packed(self, name, member.size)

    def read(self, name: str, offset: int, length: int) -> bytes:
        with self._lock:
            if self._last is None or self._name != name:
                self._last, self._name = self._archive.open(name), name
            return self._last.read(offset, length)


class _Packed:
    """A deflated member: opened when it is read."""

    __slots__ = ("_members", "_name", "path", "size")

    def __init__(self, members: _Members, name: str, size: int) -> None:
        self.path = f"{members._archive.source.path}/{name}"
        self.size = size
        self._members = members
        self._name = name

    def read(self, offset: int, length: int) -> bytes:
        return self._members.read(self._name, offset, length)

    def refuse_changed(self) -> None:
        self._members._archive.source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self._members._archive.open(self._name).sibling(name)

    def close(self) -> None:
        self._members._archive.source.close()


def _array(source: Source, name: str, path: str) -> Array:
    header = _header(source)
    storage = _storage(source, name, header)
    return Array(path, path, header.shape, storage.dtype, storage)


def _storage(source: Source, name: str, header: Header) -> Strided | Unread:
    """Where the numbers lie. FileError unless they fill the rest of the file exactly."""
    match = _DTYPE.fullmatch(header.descr)
    if match is None:
        if not header.descr:
            return Unread(source.path, shown(name), "record", header.shape, _STRUCTURED)
        reason = f"the element type {shown(header.descr)!r} is none that NumPy writes"
        raise FileError(source.path, reason, place="header", array=shown(name), hint=_BAD)
    order, letter, width = match.groups()
    if letter == "O":
        return Unread(source.path, shown(name), "object", header.shape, _PICKLED, "save it as an array of numbers")
    dtype = _NAMES.get(letter + width, "")
    _refuse_size(source, name, header, letter, DTYPES[dtype].size if dtype else int(width or 0))
    if not dtype:
        word = _WORDS.get(letter, shown(header.descr))
        reason = f"elements of type {shown(header.descr)} ({word}) are not read"
        return Unread(source.path, shown(name), f"{word}{width}" if letter in "USV" else word, header.shape, reason)
    strides = _fortran(header.shape, DTYPES[dtype].size) if header.fortran and len(header.shape) > 1 else None
    storage = Strided(source, shown(name), dtype, header.shape, header.begin, strides)
    storage.swapped = order == ">" and DTYPES[dtype].size > 1
    stated = ("big-endian" if storage.swapped else "", "Fortran order" if strides else "")
    storage.note = ", ".join(filter(None, stated))
    return storage


def _refuse_size(source: Source, name: str, header: Header, letter: str, width: int) -> None:
    wanted = prod(header.shape) * width * (4 if letter == "U" else 1)
    held = source.size - header.begin
    if wanted != held:
        reason = f"shape {list(header.shape)[:8]} of {shown(header.descr)} takes {wanted:,} bytes, {held:,} follow"
        raise FileError(source.path, reason, place=f"byte {header.begin}", array=shown(name), hint=_SHORT)


def _fortran(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The strides of an array whose first axis runs fastest."""
    strides = []
    for extent in shape:
        strides.append(size)
        size *= extent
    return tuple(strides)


def _header(source: Source) -> Header:
    """The header, in the three versions of the format: 1.0 (16-bit length), 2.0 (32-bit), 3.0 (and UTF-8)."""
    head = source.read(0, min(source.size, _PIECE))
    if not head.startswith(MAGIC) or len(head) < 12:
        _refuse(source, f"it does not begin as a .npy file does: {head[:8]!r}", 0)
    version = (head[6], head[7])
    if version not in ((1, 0), (2, 0), (3, 0)):
        _refuse(source, f"version {head[6]}.{head[7]} of the format is not known; 1.0, 2.0 and 3.0 are", 6)
    begin = 10 if version == (1, 0) else 12
    length = int.from_bytes(head[8:begin], "little")
    if length > HEADER_MOST:
        _refuse(source, f"the header's length is given as {length:,} bytes, at most {HEADER_MOST:,} are read", 8)
    if length > source.size - begin:
        _refuse(source, f"the header's length is given as {length:,} bytes, the file has {source.size:,}", 8)
    raw = head[begin : begin + length]
    if len(raw) < length:
        raw += source.read(begin + len(raw), length - len(raw))
    try:
        text = raw.decode("utf-8" if version == (3, 0) else "latin-1")
    except UnicodeDecodeError:
        _refuse(source, "the header is not UTF-8", begin)
    descr, fortran, shape = _Literal(source, text, begin).read()
    return Header(descr, fortran, shape, begin + length)


class _Literal:
    """The dict literal of a header: three keys, each once; a word, a truth value and a tuple of whole numbers."""

    def __init__(self, source: Source, text: str, begin: int) -> None:
        self._source = source
        self._text = text
        self._begin = begin
        self._at = 0
        self._ahead = self._next()

    def read(self) -> tuple[str, bool, tuple[int, ...]]:
        found: dict[str, str | bool | tuple[int, ...]] = {}
        self._mark("{")
        while self._ahead != "}":
            key = self._take()
            if not isinstance(key, _Word) or key.text in found or key.text not in ("descr", "fortran_order", "shape"):
                self._refuse("descr, fortran_order and shape, each once, are its keys")
            self._mark(":")
            found[key.text] = self._value(key.text)
            if self._ahead != "}":
                self._mark(",")
        self._mark("}")
        self._end()
        if len(found) < 3:
            self._refuse("one of descr, fortran_order and shape is missing")
        descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
        assert isinstance(descr, str) and isinstance(fortran, bool) and isinstance(shape, tuple)
        return descr, fortran, shape

    def _value(self, key: str) -> str | bool | tuple[int, ...]:
        if key == "shape":
            return self._shape()
        if key == "descr" and self._ahead in ("[", "("):
            self._skip()
            return ""
        value = self._take()
        if key == "descr" and isinstance(value, _Word) and value.text:
            return value.text
        if key == "fortran_order" and isinstance(value, bool):
            return value
        self._refuse(f"{key} has a value that it cannot have")

    def _shape(self) -> tuple[int, ...]:
        extents: list[int] = []
        self._mark("(")
        while self._ahead != ")":
            extent = self._take()
            if not isinstance(extent, int) or isinstance(extent, bool) or extent >> 63:
                self._refuse("the shape is not made of whole numbers")
            extents.append(extent)
            if self._ahead != ")":
                self._mark(",")
        self._mark(")")
        if len(extents) > _AXES_MOST:
            self._refuse(f"the shape has {len(extents)} axes, NumPy has at most {_AXES_MOST}")
        return tuple(extents)

    def _skip(self) -> None:
        """Pass over the fields of a record; what they are is not looked at."""
        depth = 0
        while True:
            token = self._take()
            depth += (token in ("[", "(")) - (token in ("]", ")"))
            if not depth:
                return

    def _end(self) -> None:
        if self._ahead is not None:
            self._refuse("something stands behind its end")

    def _mark(self, wanted: str) -> None:
        if self._take() != wanted:
            self._refuse(f"{wanted!r} is missing")

    def _take(self) -> _Word | bool | int | str:
        token = self._ahead
        if token is None:
            self._refuse("it ends early")
        self._ahead = self._next()
        return token

    def _next(self) -> _Word | bool | int | str | None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                self._refuse("it is not the dict that NumPy writes")
            return None
        self._at = match.end()
        single, double, truth, number, mark = match.groups()
        if number is not None:
            return int(number)
        if truth is not None:
            return bool(truth == "True")
        return str(mark) if mark is not None else _Word(single if single is not None else double)

    def _refuse(self, reason: str) -> NoReturn:
        near = self._text[max(0, self._at - 40) : self._at + 20]
        reason = f"the header cannot be read: {reason}; near {near!r}"
        raise FileError(self._source.path, reason, place=f"byte {self._begin + self._at}", hint=_BAD)


@dataclass(frozen=True, slots=True)
class _Word:
    """Text in quotes."""

    text: str


def _notes(arrays: tuple[Array, ...], others: list[str]) -> tuple[str, ...]:
    unread = [array.path for array in arrays if isinstance(array.storage, Unread)]
    notes = [
        f"{shown(path)} is not read: {array.note}" for path in unread[:8] for array in arrays if array.path == path
    ]
    if len(unread) > 8:
        notes.append(f"{len(unread) - 8} more arrays are not read")
    if others:
        notes.append(f"{len(others)} members are no arrays and are not read: {', '.join(map(shown, others[:4]))}")
    return tuple(notes)


def _refuse(source: Source, reason: str, at: int) -> NoReturn:
    raise FileError(source.path, reason, place=f"byte {at}", hint=_BAD)

"""The header of a safetensors file: read, checked against the file's size, and every flaw named."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cache, cached_property
from math import prod
from operator import itemgetter
from typing import cast

from ..arrays import DTYPES
from ..errors import FileError
from ..frozen import dataclass
from .source import Source

__all__ = ["HEADER_MOST", "WORDS", "Entry", "Header", "encodable", "shown"]

HEADER_MOST = 100_000_000
"""Longest header in bytes that the reference implementation reads."""

WORDS: dict[str, tuple[str, int]] = {
    "BOOL": ("bool", 8),
    "F4": ("float4_e2m1fn", 4),
    "F6_E2M3": ("float6_e2m3fn", 6),
    "F6_E3M2": ("float6_e3m2fn", 6),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "F32": ("float32", 32),
    "C64": ("complex64", 64),
    "F64": ("float64", 64),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
}
"""The header's words for element types, our names and bits an element, in the order of the reference implementation."""

_FIELDS = ("dtype", "shape", "data_offsets")
_OTHERS = 64
"""After so many names of other layers that begin like the one that is looked for, all are listed instead."""

_DAMAGED = "the file is damaged or was not written as safetensors; download or save it again"
_SHORT = "the file is cut short; download or copy it again"
_NONE = object()
_JSON_WORDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One array as the header gives it; `begin` and `end` count from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def shown(text: str, most: int = 120) -> str:
    """Text from a file, short enough for a message (FileError escapes it)."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


class Header:
    """The header of an open file. FileError for whatever is wrong with it.

    Writers give it one flat form (`_flat`). In that form the text itself shows that it is one object, of arrays that
    lie end to end and fill the file, and an array's entry is found by searching for its name: no parser is run, and an
    entry is checked when it is found. A header of any other form is parsed and checked as a whole at once, as is every
    header when `entries` lists it; the checks of an entry are the same.
    """

    def __init__(self, source: Source) -> None:
        length = _length(source)
        self._path = source.path
        self._base = 8 + length
        self._size = source.size
        self._raw = raw = source.read(8, length)
        flat = _flat().fullmatch(raw) if raw.isascii() and b"\\" not in raw else None
        self._flat = flat is not None and self._base + int(flat[3]) == self._size
        if flat is not None and self._flat:
            self._first = flat.end(1)
            said = _parse(self._path, b"{" + raw[1 : self._first - 1] + b"}") if self._first > 1 else {}
            self.metadata = _metadata(self._path, said.get("__metadata__"))
        else:
            self._parsed = _parse(self._path, raw)
            self.metadata = _metadata(self._path, self._parsed.pop("__metadata__", None))
            _ = self.entries

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every array, in the header's order. The whole header is checked."""
        parsed = _parse(self._path, self._raw) if self._flat else self._parsed
        entries = tuple(self._entry(name, fields) for name, fields in parsed.items() if name != "__metadata__")
        _refuse_holes(self._path, entries, self._base, self._size)
        return entries

    def of(self, layer: str) -> tuple[Entry, ...]:
        """The arrays whose names are that of a layer, a dot and a word, in the header's order."""
        found = self._searched(layer) if self._unlisted and _searchable(layer) else None
        return self._by_layer.get(layer, ()) if found is None else found

    def beginning(self, text: str) -> int:
        """How many arrays have names that begin so."""
        field = "." not in text and (text == text.upper() or any(word.startswith(text) for word in _FIELDS))
        if self._unlisted and not field and _searchable(text):
            return self._raw.count(f'"{text}'.encode(), self._first)
        names, start = self._names, slice(len(text))
        return bisect_right(names, text, key=itemgetter(start)) - bisect_left(names, text, key=itemgetter(start))

    @property
    def _unlisted(self) -> bool:
        """Whether a search is quicker than to look it up: in the flat form, before all entries are there."""
        return self._flat and "entries" not in vars(self)

    @cached_property
    def _names(self) -> list[str]:
        return sorted(entry.name for entry in self.entries)

    @cached_property
    def _by_layer(self) -> dict[str, tuple[Entry, ...]]:
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.name.rpartition(".")[0], []).append(entry)
        return {layer: tuple(entries) for layer, entries in groups.items()}

    def _searched(self, layer: str) -> tuple[Entry, ...] | None:
        """What the text of the header gives a layer; None where too many names begin like it.

        In the flat form no quote is escaped and a quote before a letter opens a text; only names of arrays hold dots
        after the metadata. So each place of `"layer.` is the name of an array.
        """
        raw, start = self._raw, f'"{layer}.'.encode()
        texts: list[bytes] = []
        at, others = raw.find(start, self._first), 0
        while at >= 0:
            end = raw.index(b'"', at + 1)
            if raw.find(b".", at + len(start), end) < 0:
                texts.append(raw[at : raw.index(b"}", end) + 1])
            else:
                others += 1
                if others > _OTHERS:
                    return None
            at = raw.find(start, end)
        if not texts:
            return ()
        found = _parse(self._path, b"{%b}" % b",".join(texts))
        return tuple([self._entry(name, fields) for name, fields in found.items()])

    def _entry(self, name: str, fields: object) -> Entry:
        return _entry(self._path, name, fields, self._base, self._size)


def _searchable(name: str) -> bool:
    """Whether a name in quotes can stand in a flat header as a name only: it is no punctuation between two quotes."""
    return name[:1].isalnum() and name.isascii() and '"' not in name


@cache
def _flat() -> re.Pattern[bytes]:
    """The form that writers give a header: free text first, then arrays with their fields in one order, end to end.

    Each array's numbers end where those of the next one begin (the back reference); group 3 is where the last ones end.
    No loop can go back, so it takes one pass. What it lets through in a number or a shape is checked with the entry.
    """
    array = rb'"[^"]*+":\{"dtype":"[A-Z0-9_]*+","shape":\[[0-9,]*+\],"data_offsets":\['
    text = rb'"__metadata__":\{(?:"[^"]*+":"[^"]*+"(?:,(?=")|(?=\})))*+\},'
    return re.compile(rb"(\{(?:%b)?)%b0,(?:([0-9]++)\]\},%b\2,)*+([0-9]{1,19})\]\}\} *+" % (text, array, array))


def _length(source: Source) -> int:
    """The length of the header in bytes, from the first 8."""
    path, size = source.path, source.size
    head = source.read(0, min(size, 9))
    length = int.from_bytes(head[:8], "little")
    if size < 10:
        reason = f"the file has {size} bytes; the shortest safetensors file has 10"
        raise FileError(path, reason, place="byte 0", hint=_SHORT)
    if length > HEADER_MOST:
        reason = f"the header's length is given as {length} bytes, the format allows {HEADER_MOST}"
        raise FileError(path, reason, place="byte 0", hint=_DAMAGED)
    if length > size - 8:
        reason = f"the header's length is given as {length} bytes, the file has {size}"
        raise FileError(path, reason, place="byte 0", hint=_SHORT)
    if length < 2 or head[8:9] != b"{":
        raise FileError(path, "the header does not begin with '{'", place="byte 8", hint=_DAMAGED)
    return length


def _parse(path: str, raw: bytes) -> dict[str, object]:
    """The header's JSON object; doubled names are an error, as two readers could take different ones."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise FileError(path, "the header is not UTF-8", place=f"byte {8 + error.start}", hint=_DAMAGED) from error
    try:
        header = _DECODER.decode(text)
    except _Doubled as error:
        raise _twice(path, error.args[0]) from None
    except RecursionError as error:
        raise FileError(path, "the header is nested too deeply", place="header", hint=_DAMAGED) from error
    except json.JSONDecodeError as error:
        at = f"byte {8 + len(text[: error.pos].encode())}"
        raise FileError(path, f"the header is not JSON: {error.msg}", place=at, hint=_DAMAGED) from error
    except ValueError as error:
        reason = "the header holds a number that is too long or not finite"
        raise FileError(path, reason, place="header", hint=_DAMAGED) from error
    return cast(dict[str, object], header)


class _Doubled(Exception):
    """A name that stands twice in one object."""


def _collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _Doubled(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return found


def _no_constant(word: str) -> None:
    raise ValueError(word)


_DECODER = json.JSONDecoder(object_pairs_hook=_collect, parse_constant=_no_constant)


def _twice(path: str, name: str) -> FileError:
    return FileError(path, f"the name {shown(name)!r} stands twice in the header", place="header", hint=_DAMAGED)


def _metadata(path: str, found: object) -> dict[str, str]:
    """The free-text table of the header; null counts as none, as in the reference implementation."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise FileError(path, f"__metadata__ is {_word(found)}, not an object", place="header", hint=_DAMAGED)
    for name, value in found.items():
        if not (encodable(name) and encodable(str(value))):
            raise FileError(path, "__metadata__ is not valid Unicode", place="header", hint=_DAMAGED)
        if not isinstance(value, str):
            reason = f"__metadata__ gives {shown(name)!r} {_word(value)}, not text"
            raise FileError(path, reason, place="header", hint=_DAMAGED)
    return found


def _word(value: object) -> str:
    return _JSON_WORDS.get(type(value), "null")


def _entry(path: str, name: str, fields: object, base: int, size: int) -> Entry:
    """One array, every field checked; `base` is where the numbers begin, `size` the file's."""
    try:
        if not encodable(name):
            raise _Bad("the name is not valid Unicode")
        if not isinstance(fields, dict):
            raise _Bad(f"the entry is {_word(fields)}, not an object")
        return _checked(name, fields, base, size)
    except _Bad as bad:
        raise FileError(path, bad.args[0], place="header", array=shown(name), hint=_DAMAGED) from None


class _Bad(Exception):
    """Why an entry cannot be used."""


def _checked(name: str, fields: dict[str, object], base: int, size: int) -> Entry:
    word, shape, offsets = fields.get("dtype", _NONE), fields.get("shape", _NONE), fields.get("data_offsets", _NONE)
    if word is _NONE or shape is _NONE or offsets is _NONE:
        missing = [word for word in _FIELDS if word not in fields]
        raise _Bad(f"the entry has no {' and no '.join(missing)}")
    if not isinstance(word, str):
        raise _Bad(f"dtype is {_word(word)}, not text")
    extents, places = _counts(shape, "shape"), _counts(offsets, "data_offsets")
    if len(places) != 2:
        raise _Bad(f"data_offsets has {len(places)} numbers, not 2 (begin, end)")
    begin, end = places
    if begin > end:
        raise _Bad(f"data_offsets begin at {begin}, after their end {end}")
    if end > size - base:
        raise _Bad(f"data_offsets end at {end}, the file has {size - base} bytes of numbers")
    dtype, bits = WORDS.get(word) or (_unnamed(word), 0)
    _refuse_size(extents, word, bits, end - begin)
    return Entry(name, dtype, tuple(extents), base + begin, base + end)


def encodable(text: str) -> bool:
    """Whether text can be stored as UTF-8: no lone surrogates."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unnamed(word: str) -> str:
    """The name of an element type that the format does not have; never that of one we can read."""
    return word if word.isascii() and word.isidentifier() and word not in DTYPES else ascii(shown(word))


def _counts(numbers: object, field: str) -> list[int]:
    if not isinstance(numbers, list):
        raise _Bad(f"{field} is {_word(numbers)}, not a list")
    for number in numbers:
        if type(number) is not int:
            raise _Bad(f"{field} holds {shown(ascii(number))}, not an integer")
        if number < 0:
            raise _Bad(f"{field} holds the negative number {shown(str(number))}")
    return numbers


def _refuse_size(shape: list[int], word: str, bits: int, held: int) -> None:
    """The bytes held must be those that the shape takes. Counted as if no axis were empty, no size may overflow."""
    elements = 1
    for extent in shape:
        elements *= extent or 1
        if elements * max(bits, 8) >= 1 << 66:
            raise _Bad(f"the shape {shown(str(shape))} is too large: its size overflows 64 bits")
    needed = prod(shape) * bits
    if bits and needed % 8:
        raise _Bad(f"the shape {shown(str(shape))} of {word} takes {needed} bits, not whole bytes")
    if bits and needed != held * 8:
        raise _Bad(f"the shape {shown(str(shape))} of {word} takes {needed // 8} bytes, data_offsets hold {held}")


def _refuse_holes(path: str, entries: Iterable[Entry], base: int, size: int) -> None:
    """The arrays must cover the bytes after the header exactly: no overlap, no hole, nothing left over."""
    at, before = base, ""
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        name, begin, end = entry.name, entry.begin, entry.end
        if begin < at:
            reason = f"its bytes overlap those of {shown(before)!r}"
            raise FileError(path, reason, place=f"byte {begin}", array=shown(name), hint=_DAMAGED)
        if begin > at:
            reason = f"{begin - at} bytes before it belong to no array"
            raise FileError(path, reason, place=f"byte {at}", array=shown(name), hint=_DAMAGED)
        at, before = end, name
    if at < size:
        raise FileError(path, f"the last {size - at} bytes belong to no array", place=f"byte {at}", hint=_DAMAGED)

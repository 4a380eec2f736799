"""The header of a safetensors file: read, checked against the file's size, and every flaw named."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from typing import cast

from ..arrays import DTYPES
from ..errors import FileError
from ..frozen import dataclass
from .source import Source

__all__ = ["HEADER_MOST", "WORDS", "Entry", "encodable", "read_header", "shown"]

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

_DAMAGED = "the file is damaged or was not written as safetensors; download or save it again"
_SHORT = "the file is cut short; download or copy it again"
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


def read_header(source: Source) -> tuple[dict[str, str], list[Entry]]:
    """The metadata and the arrays of an open file, in the header's order. FileError for whatever is wrong."""
    length = _length(source)
    header = _parse(source.path, source.read(8, length))
    metadata = _metadata(source.path, header.pop("__metadata__", None))
    entries = [_entry(source.path, name, fields, 8 + length, source.size) for name, fields in header.items()]
    _refuse_holes(source.path, entries, 8 + length, source.size)
    return metadata, entries


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
    doubled: list[str] = []

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            doubled.extend(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return found

    try:
        header = json.loads(text, object_pairs_hook=collect, parse_constant=_no_constant)
    except RecursionError as error:
        raise FileError(path, "the header is nested too deeply", place="header", hint=_DAMAGED) from error
    except json.JSONDecodeError as error:
        at = f"byte {8 + len(text[: error.pos].encode())}"
        raise FileError(path, f"the header is not JSON: {error.msg}", place=at, hint=_DAMAGED) from error
    except ValueError as error:
        reason = "the header holds a number that is too long or not finite"
        raise FileError(path, reason, place="header", hint=_DAMAGED) from error
    if doubled:
        reason = f"the name {shown(doubled[0])!r} stands twice in the header"
        raise FileError(path, reason, place="header", hint=_DAMAGED)
    return cast(dict[str, object], header)


def _no_constant(word: str) -> None:
    raise ValueError(word)


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

    def bad(reason: str) -> FileError:
        return FileError(path, reason, place="header", array=shown(name), hint=_DAMAGED)

    if not encodable(name):
        raise bad("the name is not valid Unicode")
    if not isinstance(fields, dict):
        raise bad(f"the entry is {_word(fields)}, not an object")
    missing = [word for word in ("dtype", "shape", "data_offsets") if word not in fields]
    if missing:
        raise bad(f"the entry has no {' and no '.join(missing)}")
    word, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(word, str):
        raise bad(f"dtype is {_word(word)}, not text")
    _refuse_uncountable(shape, "shape", bad)
    _refuse_uncountable(offsets, "data_offsets", bad)
    if len(offsets) != 2:
        raise bad(f"data_offsets has {len(offsets)} numbers, not 2 (begin, end)")
    begin, end = offsets
    if begin > end:
        raise bad(f"data_offsets begin at {begin}, after their end {end}")
    if end > size - base:
        raise bad(f"data_offsets end at {end}, the file has {size - base} bytes of numbers")
    dtype, bits = WORDS.get(word, (_unnamed(word), 0))
    _refuse_size(shape, word, bits, end - begin, bad)
    return Entry(name, dtype, tuple(shape), base + begin, base + end)


def encodable(text: str) -> bool:
    """Whether text can be stored as UTF-8: no lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unnamed(word: str) -> str:
    """The name of an element type that the format does not have; never that of one we can read."""
    return word if word.isascii() and word.isidentifier() and word not in DTYPES else ascii(shown(word))


def _refuse_uncountable(numbers: object, field: str, bad: Callable[[str], FileError]) -> None:
    if not isinstance(numbers, list):
        raise bad(f"{field} is {_word(numbers)}, not a list")
    for number in numbers:
        if type(number) is not int:
            raise bad(f"{field} holds {shown(ascii(number))}, not an integer")
        if number < 0:
            raise bad(f"{field} holds the negative number {shown(str(number))}")


def _refuse_size(shape: list[int], word: str, bits: int, held: int, bad: Callable[[str], FileError]) -> None:
    """The bytes held must be those that the shape takes. Counted as if no axis were empty, no size may overflow."""
    elements = 1
    for extent in shape:
        elements *= extent or 1
        if elements * max(bits, 8) >= 1 << 66:
            raise bad(f"the shape {shown(str(shape))} is too large: its size overflows 64 bits")
    needed = prod(shape) * bits
    if bits and needed % 8:
        raise bad(f"the shape {shown(str(shape))} of {word} takes {needed} bits, not whole bytes")
    if bits and needed != held * 8:
        raise bad(f"the shape {shown(str(shape))} of {word} takes {needed // 8} bytes, data_offsets hold {held}")


def _refuse_holes(path: str, entries: list[Entry], base: int, size: int) -> None:
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

"""MessagePack, read as a tree of places: maps, lists, words and numbers are made, long runs of bytes are only located.

Source: spec.md of msgpack/msgpack. Nothing recursive: a stack of open maps and lists, of bounded depth. A count is checked
against the bytes that are left before anything is made of it.
"""  # noqa: E501

from __future__ import annotations

import struct
from typing import Any, NoReturn

from ..errors import FileError
from ..frozen import dataclass
from .source import Source

__all__ = ["Ext", "Run", "read_tree"]

DEPTH_MOST = 64
"""Deepest nesting of maps and lists: networks nest a dozen deep."""
VALUES_MOST = 300_000
"""Most values of a file. A checkpoint has a few for each array."""
_TEXT_MOST = 4096
"""Longest word that is kept; a longer one is located like bytes."""
_PIECE = 64 << 10
_HINT = "the file is damaged or cut short, or is no checkpoint of Flax; save it again"


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes, or a long text, in the file."""

    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class Ext:
    """A value of a type that an application defined (Flax: 1 array, 2 complex number, 3 number)."""

    code: int
    begin: int
    size: int


_FIXED: dict[int, tuple[str, int]] = {
    0xCA: (">f", 4),
    0xCB: (">d", 8),
    0xCC: (">B", 1),
    0xCD: (">H", 2),
    0xCE: (">I", 4),
    0xCF: (">Q", 8),
    0xD0: (">b", 1),
    0xD1: (">h", 2),
    0xD2: (">i", 4),
    0xD3: (">q", 8),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Bytes and text with a length of so many bytes."""
_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


class _Reader:
    """The values of a part of a source, one after the other, through a small buffer."""

    def __init__(self, source: Source, begin: int, end: int) -> None:
        self.source = source
        self.at = begin
        self.end = end
        self._buffer = b""
        self._from = begin

    def take(self, count: int) -> bytes:
        if count > self.end - self.at:
            self.refuse(f"{count:,} bytes are said to follow, {self.end - self.at:,} do")
        inside = self.at - self._from
        if not 0 <= inside <= len(self._buffer) - count:
            self._from, inside = self.at, 0
            self._buffer = self.source.read(self.at, min(max(count, _PIECE), self.end - self.at))
        self.at += count
        return self._buffer[inside : inside + count]

    def skip(self, count: int) -> int:
        """Pass over bytes; where they begin."""
        if count > self.end - self.at:
            self.refuse(f"{count:,} bytes are said to follow, {self.end - self.at:,} do")
        begin = self.at
        self.at += count
        return begin

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def refuse(self, reason: str) -> NoReturn:
        raise FileError(self.source.path, reason, place=f"byte {self.at}", hint=_HINT)


class _Open:
    """A map or list that is being filled; `key` is what a map's next value belongs to."""

    __slots__ = ("is_map", "key", "left", "made")

    def __init__(self, is_map: bool, count: int) -> None:
        self.is_map = is_map
        self.left = count * (2 if is_map else 1)
        self.made: Any = {} if is_map else []
        self.key: Any = None

    def add(self, value: Any) -> bool:
        """Put in the next value. False for a key that is there already or is none."""
        self.left -= 1
        if not self.is_map:
            self.made.append(value)
        elif self.left % 2:
            if not isinstance(value, (str, int)) or isinstance(value, bool) or value in self.made:
                return False
            self.key = value
            self.made[value] = None
        else:
            self.made[self.key] = value
        return True


def read_tree(source: Source, begin: int, end: int) -> Any:
    """The one value that fills these bytes. FileError for anything that is not, or is deeper or longer than allowed.

    Maps become dicts, whose keys are text or whole numbers and stand once; bytes become `Run`, extensions `Ext`.
    """
    reader = _Reader(source, begin, end)
    stack: list[_Open] = []
    for _ in range(VALUES_MOST):
        value = _value(reader)
        if isinstance(value, _Open):
            if value.left > end - reader.at:
                reader.refuse(f"{value.left:,} values are said to follow in {end - reader.at:,} bytes")
            if len(stack) >= DEPTH_MOST:
                reader.refuse(f"maps and lists are nested more than {DEPTH_MOST} deep")
            stack.append(value)
            if value.left:
                continue
        elif not stack:
            return _whole(reader, value)
        elif not stack[-1].add(value):
            reader.refuse(f"{str(value)[:80]!r} is a key that stands twice, or is no text or whole number")
        while stack and not stack[-1].left:
            made = stack.pop().made
            if not stack:
                return _whole(reader, made)
            if not stack[-1].add(made):
                reader.refuse("a key is a map or a list")
    reader.refuse(f"there are more than {VALUES_MOST:,} values")


def _whole(reader: _Reader, value: Any) -> Any:
    if reader.at != reader.end:
        reader.refuse(f"{reader.end - reader.at:,} bytes stand behind the end")
    return value


def _value(reader: _Reader) -> Any:
    """The next value; of a map or list its beginning."""
    code = reader.take(1)[0]
    if code < 0x80:
        return code
    if code >= 0xE0:
        return code - 256
    if code < 0xA0:
        return _Open(code < 0x90, code & 15)
    if code < 0xC0:
        return _text(reader, code & 31)
    if code in _FIXED:
        form, size = _FIXED[code]
        return struct.unpack(form, reader.take(size))[0]
    if code in _CONSTANTS:
        return _CONSTANTS[code]
    if code in _SIZED:
        size = reader.number(_SIZED[code])
        return _text(reader, size) if code >= 0xD9 else Run(reader.skip(size), size)
    if code in _EXT or code in _FIXED_EXT:
        size = reader.number(_EXT[code]) if code in _EXT else _FIXED_EXT[code]
        (kind,) = struct.unpack(">b", reader.take(1))
        return Ext(kind, reader.skip(size), size)
    if code in _LISTS:
        return _Open(False, reader.number(_LISTS[code]))
    if code in _MAPS:
        return _Open(True, reader.number(_MAPS[code]))
    reader.refuse(f"the byte {code:#04x} begins no value")


def _text(reader: _Reader, size: int) -> str | Run:
    if size > _TEXT_MOST:
        return Run(reader.skip(size), size)
    return reader.take(size).decode("utf-8", "backslashreplace")

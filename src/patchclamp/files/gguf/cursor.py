"""Going through the directory of a GGUF file: numbers, strings and arrays one after the other, in big windows."""

from __future__ import annotations

import re
import struct
from functools import cache

from ...errors import FileError
from ..source import Source

__all__ = ["ARRAY", "STRING", "Cursor"]

WINDOW = 1 << 20
"""How many bytes are read at once."""
STRING_MOST = 64 << 20
"""Longest string, in bytes (a chat template has some thousand)."""
STRINGS_MOST = 4_000_000
"""Most strings and lists in all arrays of a file: each costs a step. The largest vocabularies have some 300,000."""
RUN, SHORT = 64, 48
"""How many strings are stepped over at once, if each has fewer bytes than this."""
DEEPEST = 4
"""How many arrays may lie in each other."""

STRING, ARRAY = 8, 9
_LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SIZES = {number: struct.calcsize(f"<{letter}") for number, letter in _LETTERS.items()}
_DAMAGED = "the file is damaged or was not written as GGUF; download or save it again"
_SHORT = "the file is cut short; download or copy it again"


@cache
def _short_strings() -> re.Pattern[bytes]:
    """`RUN` short strings after each other: half the time of a loop, and most tokens are short."""
    each = (re.escape(bytes((length,))) + bytes(7) + b".{%d}" % length for length in range(1, SHORT))
    return re.compile(b"(?s)(?:%s){%d}+" % (b"|".join(each), RUN))


class Cursor:
    """A place in a source. `order` is "<" or ">", `wide` whether lengths have 64 bits (version 1 had 32).

    Every length is checked against what is left of the file before it is believed; FileError names the byte.
    """

    __slots__ = ("_at", "_base", "_data", "_left", "_length", "order", "source")

    def __init__(self, source: Source, at: int, order: str, wide: bool) -> None:
        self.source = source
        self.order = order
        self._length = struct.Struct(f"{order}{'Q' if wide else 'I'}")
        self._base = at
        self._data = b""
        self._at = 0
        self._left = STRINGS_MOST

    @property
    def place(self) -> int:
        """The byte of the file where it stands."""
        return self._base + self._at

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file."""
        return self.source.size - self.place

    def error(self, reason: str, at: int | None = None, hint: str = _DAMAGED) -> FileError:
        """What is wrong at a byte, here unless it is given."""
        return FileError(self.source.path, reason, place=f"byte {self.place if at is None else at}", hint=hint)

    def take(self, size: int, what: str) -> bytes:
        """The next bytes."""
        if size > len(self._data) - self._at:
            self._fill(size, what)
        begin = self._at
        self._at += size
        return self._data[begin : self._at]

    def number(self, kind: int, what: str) -> int | float | bool:
        """The next number of one of the format's types."""
        found: int | float | bool
        (found,) = struct.unpack(self.order + _LETTERS[kind], self.take(_SIZES[kind], what))
        return found

    def unsigned(self, what: str) -> int:
        """The next number of 32 bits."""
        return int(self.number(4, what))

    def length(self, what: str) -> int:
        """The next count or length."""
        found: int = self._length.unpack(self.take(self._length.size, what))[0]
        return found

    def text(self, what: str, most: int = STRING_MOST) -> str:
        """The next string. FileError if it is longer than `most` bytes, or no UTF-8."""
        at = self.place
        size = self.length(what)
        if size > self.left or size > most:
            limit = f"the file has {self.left} left" if size > self.left else f"at most {most:,} are read"
            raise self.error(f"{what} is said to have {size:,} bytes, {limit}", at)
        try:
            return self.take(size, what).decode()
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is no UTF-8 text: {error.reason}", at) from error

    def value(self, kind: int, what: str, most: int) -> object:
        """The next value; None for an array of strings, and for what is longer than `most` (bytes or numbers)."""
        if kind == STRING:
            return self._short(what, most)
        if kind == ARRAY:
            return self._array(what, most, 1)
        if kind not in _SIZES:
            raise self.error(f"{what} has the type {kind}; the format has types 0 to 12")
        return self.number(kind, what)

    def _short(self, what: str, most: int) -> str | None:
        begin = self.place
        size = self.length(what)
        if size > self.left:
            raise self.error(f"{what} is said to have {size:,} bytes, the file has {self.left} left", begin)
        if size > most:
            self._skip(size)
            return None
        return self.take(size, what).decode(errors="backslashreplace")

    def _array(self, what: str, most: int, depth: int) -> object:
        at = self.place
        kind = self.unsigned(what)
        count = self.length(what)
        least = _SIZES.get(kind, self._length.size + (4 if kind == ARRAY else 0))
        if kind not in _SIZES and kind not in (STRING, ARRAY):
            raise self.error(f"{what} is an array of the type {kind}; the format has types 0 to 12", at)
        if count * least > self.left:
            raise self.error(f"{what} is said to hold {count:,} values, the file has {self.left} bytes left", at)
        if kind in _SIZES:
            return self._numbers(kind, count, what, most)
        self._left -= count
        if self._left < 0:
            raise self.error(f"the arrays hold more than {STRINGS_MOST:,} strings and lists", at)
        if kind == STRING:
            self._skip_strings(count, what)
            return None
        if depth == DEEPEST:
            raise self.error(f"{what} has arrays in arrays in arrays, more than {DEEPEST} deep", at)
        for _ in range(count):
            self._array(what, 0, depth + 1)
        return None

    def _numbers(self, kind: int, count: int, what: str, most: int) -> tuple[int | float | bool, ...] | None:
        size = count * _SIZES[kind]
        if count > most:
            self._skip(size)
            return None
        return struct.unpack(f"{self.order}{count}{_LETTERS[kind]}", self.take(size, what))

    def _skip_strings(self, count: int, what: str) -> None:
        """Step over strings by their lengths alone: a vocabulary is long, and no neuron."""
        run = _short_strings() if count >= RUN and self.order == "<" and self._length.size == 8 else None
        unpack, size = self._length.unpack_from, self._length.size
        while count:
            data, at, done = self._data, self._at, 0
            last = len(data) - size
            while run is not None and count - done >= RUN and (found := run.match(data, at)) is not None:
                at = found.end()
                done += RUN
            most = min(count, done + RUN)
            while at <= last and done < most:
                at += size + unpack(data, at)[0]
                done += 1
            self._at = at
            count -= done
            if self.left < 0:
                reason = f"a string of {what} ends at byte {self.place}, the file has {self.source.size}"
                raise self.error(reason, hint=_SHORT)
            if count and at > last:
                self._fill(size, what)

    def _skip(self, size: int) -> None:
        self._at += size

    def _fill(self, size: int, what: str) -> None:
        """Have the next `size` bytes in the window."""
        begin = self.place
        if size > self.source.size - begin:
            reason = f"{what} would go on to byte {begin + size}, the file has {self.source.size}"
            raise self.error(reason, hint=_SHORT)
        self._data = self.source.read(begin, min(max(size, WINDOW), self.source.size - begin))
        self._base = begin
        self._at = 0

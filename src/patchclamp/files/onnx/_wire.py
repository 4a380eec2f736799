"""Messages of a file read by their wire format, field by field: long fields are jumped over, never read.

Source: protobuf.dev/programming-guides/encoding, and `onnx.proto` of the ONNX project for what the fields mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import FileError
from .._protobuf import Field, Malformed, packed, signed, varint
from .._safetensors_header import shown
from ..source import Source

__all__ = ["Field", "Message", "refused"]

FIRST, MOST = 4 << 10, 64 << 10
"""How many bytes are read at once: the first time and after a jump, and where fields follow each other."""
ENOUGH = 20
"""The longest key and length of a field."""
NAME = 64 << 10
"""The longest text that is taken for a name."""
DAMAGED = "the file is damaged or cut short; download or save it again"


def refused(path: str, at: int, reason: str) -> FileError:
    """The error for a message that is not what it says."""
    return FileError(path, reason, place=f"byte {at}", hint=DAMAGED)


class Message:
    """The bytes `begin` to `end` of a source as fields. A window on the file, shared with its parts, moves along.

    Iterating gives (number, wire type, value or where its bytes begin, where it ends), the places counted in the file.
    """

    __slots__ = ("base", "begin", "data", "end", "source")

    def __init__(self, source: Source, begin: int, end: int, data: bytes = b"", base: int = 0) -> None:
        self.source = source
        self.begin = begin
        self.end = end
        self.data = data
        self.base = base

    def part(self, begin: int, end: int) -> Message:
        """A message inside this one."""
        return Message(self.source, begin, end, self.data, self.base)

    def __iter__(self) -> Iterator[Field]:
        at, end, size, last = self.begin, self.end, FIRST, self.base + len(self.data)
        while at < end:
            if not self.base <= at <= last - ENOUGH and (last < end or at < self.base):
                size = min(2 * size, MOST) if self.base <= at <= last and self.data else FIRST
                self.data, self.base = self.source.read(at, min(size, end - at)), at
                last = at + len(self.data)
            data, base = self.data, self.base
            here = at - base
            key = data[here]
            if key < 128:
                here += 1
            else:
                key, here = self._varint(here)
            if key < 8:
                raise refused(self.source.path, at, "a field has the number 0")
            wire = key & 7
            if wire == 2:
                length = data[here] if here < len(data) else 128
                if length < 128:
                    here += 1
                else:
                    length, here = self._varint(here)
                at = base + here
                if length > end - at:
                    raise refused(self.source.path, at, f"a field of {length} bytes, where {end - at} are left")
                at += length
                yield key >> 3, 2, at - length, at
            elif wire == 0:
                value = data[here] if here < len(data) else 128
                if value < 128:
                    here += 1
                else:
                    value, here = self._varint(here)
                at = base + here
                if at > end:
                    raise refused(self.source.path, at, "an integer has no end")
                yield key >> 3, 0, value, at
            else:
                at, field = self._fixed(key, base + here)
                yield field

    def _varint(self, here: int) -> tuple[int, int]:
        limit = min(len(self.data), self.end - self.base)
        try:
            return varint(self.data, here, limit)
        except Malformed as error:
            raise refused(self.source.path, self.base + error.at, error.reason) from error

    def _fixed(self, key: int, at: int) -> tuple[int, Field]:
        size = {1: 8, 5: 4}.get(key & 7)
        if size is None:
            reason = f"a field has the wire type {key & 7}, which protocol buffers no longer have"
            raise refused(self.source.path, at, reason)
        if size > self.end - at:
            raise refused(self.source.path, at, f"a field of {size} bytes, where {self.end - at} are left")
        value = int.from_bytes(self.bytes(at, at + size), "little")
        return at + size, (key >> 3, key & 7, value, at + size)

    def bytes(self, begin: int, end: int) -> bytes:
        """The bytes of a short field."""
        if self.base <= begin and end <= self.base + len(self.data):
            return self.data[begin - self.base : end - self.base]
        return self.source.read(begin, end - begin)

    def text(self, field: Field) -> str:
        """A name. FileError for one that is no text, is not UTF-8, or is longer than any name."""
        _, wire, begin, end = field
        if wire != 2 or end - begin > NAME:
            reason = f"a name of {end - begin:,} bytes" if wire == 2 else "a number where a name must stand"
            raise refused(self.source.path, begin if wire == 2 else end, reason)
        data = self.bytes(begin, end)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise refused(self.source.path, begin, f"the name {shown(repr(data))} is not UTF-8 text") from error

    def integers(self, field: Field) -> list[int]:
        """The numbers of a repeated field, one or many."""
        _, wire, begin, end = field
        if wire == 0:
            return [signed(begin)]
        if wire != 2 or end - begin > NAME:
            raise refused(self.source.path, end, "a list of integers that is too long, or is none")
        try:
            return packed(self.bytes(begin, end), (0, 2, 0, end - begin))
        except Malformed as error:
            raise refused(self.source.path, begin + error.at, error.reason) from error

    def number(self, field: Field) -> int:
        """One integer."""
        if field[1] != 0:
            raise refused(self.source.path, field[3], "bytes where an integer must stand")
        return signed(field[2])

    def inside(self, field: Field) -> Message:
        """A message in this one."""
        if field[1] != 2:
            raise refused(self.source.path, field[3], "a number where a message must stand")
        return Message(self.source, field[2], field[3], self.data, self.base)

"""Several runs of bytes, of one source or of many, as one source: an array that is stored in pieces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..errors import FileError
from .source import Source

__all__ = ["Joined"]


class Joined:
    """The pieces (source, offset, size) one after the other. FileError where a source is too short for its piece."""

    __slots__ = ("_begins", "_pieces", "path", "size")

    def __init__(self, pieces: Sequence[tuple[Source, int, int]], path: str) -> None:
        self.path = path
        self._pieces = tuple(pieces)
        self._begins: list[int] = []
        self.size = 0
        for source, offset, size in self._pieces:
            if offset < 0 or size < 0 or offset + size > source.size:
                reason = f"a piece of {size} bytes is said to lie at byte {offset}, the file has {source.size}"
                raise FileError(source.path, reason, hint="the file is damaged or cut short; download or save it again")
            self._begins.append(self.size)
            self.size += size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes, from as many pieces as they lie in."""
        if offset < 0 or length < 0 or offset + length > self.size:
            reason = f"{length} bytes were looked for at byte {offset} of {self.size}"
            raise FileError(self.path, reason, hint="the file is damaged or cut short; download or save it again")
        parts = []
        at, end = offset, offset + length
        number = bisect_right(self._begins, offset) - 1
        while at < end:
            source, begin, size = self._pieces[number]
            inside = at - self._begins[number]
            count = min(end - at, size - inside)
            if count:
                parts.append(source.read(begin + inside, count))
            at += count
            number += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def refuse_changed(self) -> None:
        for source in {id(source): source for source, _, _ in self._pieces}.values():
            source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self._pieces[0][0].sibling(name)

    def close(self) -> None:
        for source, _, _ in self._pieces:
            source.close()

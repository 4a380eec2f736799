"""Edits of a file that stays as it is: pages of it that were written to are held in memory and read instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..source import Source

__all__ = ["Overlay"]

PAGE = 4096


class Overlay:
    """A source that can be written. What is written back as it was is no longer held: `edited` is then False again.

    base      gives the source beneath
    changed   is called after each write
    """

    __slots__ = ("base", "changed", "pages", "path", "size")

    def __init__(self, base: Callable[[], Source], changed: Callable[[], None]) -> None:
        self.base = base
        self.changed = changed
        self.pages: dict[int, bytes] = {}
        source = base()
        self.path = source.path
        self.size = source.size

    @property
    def edited(self) -> bool:
        return bool(self.pages)

    def read(self, offset: int, length: int) -> bytes:
        data = self.base().read(offset, length)
        if not self.pages or not length:
            return data
        found = None
        for page in self._held(offset, offset + length):
            found = found if found is not None else bytearray(data)
            first = page * PAGE
            begin, end = max(offset, first), min(offset + length, first + len(self.pages[page]))
            found[begin - offset : end - offset] = self.pages[page][begin - first : end - first]
        return data if found is None else bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset."""
        end = offset + len(data)
        for page in range(offset // PAGE, -(-end // PAGE)):
            first = page * PAGE
            before = self.base().read(first, min(PAGE, self.size - first))
            now = bytearray(self.pages.get(page, before))
            begin, last = max(offset, first), min(end, first + len(before))
            now[begin - first : last - first] = data[begin - offset : last - offset]
            if now == before:
                self.pages.pop(page, None)
            else:
                self.pages[page] = bytes(now)
        self.changed()

    def touches(self, offset: int, length: int) -> bool:
        """Whether any of these bytes may have been written to."""
        return next(self._held(offset, offset + length), None) is not None

    def _held(self, begin: int, end: int) -> Iterator[int]:
        """The pages that are held of some bytes."""
        pages = range(begin // PAGE, -(-end // PAGE))
        if len(pages) > len(self.pages):
            return (page for page in self.pages if page in pages)
        return (page for page in pages if page in self.pages)

    def refuse_changed(self) -> None:
        self.base().refuse_changed()

    def sibling(self, name: str) -> Source:
        return self.base().sibling(name)

    def close(self) -> None:
        self.base().close()

"""Where the bytes of a file come from: a local file, a part of one, a member of an archive, a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import FileError

__all__ = ["Later", "Source", "Window", "read_all"]


class Source(Protocol):
    """Bytes by range. `path` is how people know it; `sibling` opens a file that this one names, in its own folder.

    `read` gives exactly the bytes asked for, or raises FileError; `refuse_changed` raises one where the bytes may be
    others than they were when it was opened.
    """

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...

    def refuse_changed(self) -> None: ...

    def sibling(self, name: str) -> Source: ...

    def close(self) -> None: ...


class Window:
    """`size` bytes of another source, from `offset` on: a member of an archive, the numbers after a header.

    FileError where the other source has fewer.
    """

    __slots__ = ("_offset", "_source", "path", "size")

    def __init__(self, source: Source, offset: int, size: int, name: str = "") -> None:
        self.path = f"{source.path}/{name}" if name else source.path
        if offset < 0 or size < 0 or offset + size > source.size:
            reason = f"{size} bytes are said to lie at byte {offset}, the file has {source.size}"
            raise FileError(self.path, reason, hint="the file is damaged or cut short; download or save it again")
        self._source = source
        self._offset = offset
        self.size = size

    @property
    def place(self) -> tuple[Source, int]:
        """The source that it is a part of, and where it begins there."""
        return self._source, self._offset

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            reason = f"{length} bytes were looked for at byte {offset} of {self.size}"
            raise FileError(self.path, reason, hint="the file is damaged or cut short; download or save it again")
        return self._source.read(self._offset + offset, length)

    def refuse_changed(self) -> None:
        self._source.refuse_changed()

    def sibling(self, name: str) -> Source:
        reason = f"it names the file {name!r}, and a member of an archive has no files beside it"
        raise FileError(self.path, reason, hint="unpack the archive and open the member")

    def close(self) -> None:
        self._source.close()


class Later:
    """A part of another source that is looked for when it is first read: `find(name)` opens it."""

    __slots__ = ("_find", "_found", "_name", "_source", "size")

    def __init__(self, source: Source, name: str, size: int, find: Callable[[str], Source]) -> None:
        self._source = source
        self._name = name
        self._find = find
        self._found: Source | None = None
        self.size = size

    @property
    def path(self) -> str:
        return f"{self._source.path}/{self._name}"

    @property
    def found(self) -> Source:
        """The part itself."""
        if self._found is None:
            self._found = self._find(self._name)
        return self._found

    def read(self, offset: int, length: int) -> bytes:
        return (self._found or self.found).read(offset, length)

    def refuse_changed(self) -> None:
        self._source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self.found.sibling(name)

    def close(self) -> None:
        self._source.close()


def read_all(source: Source, most: int, what: str) -> bytes:
    """All bytes of a small source. FileError if it has more than `most`."""
    if source.size > most:
        raise FileError(source.path, f"{what} has {source.size:,} bytes; at most {most:,} are read")
    return source.read(0, source.size)

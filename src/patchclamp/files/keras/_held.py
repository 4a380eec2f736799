"""Weights that an archive deflates, unpacked in memory: HDF5 is read here and there, which deflated bytes cannot be."""

from __future__ import annotations

from ...errors import FileError
from ..source import Source, Window

__all__ = ["Held"]


class Held:
    """The bytes of a member as a source; the archive that they came from is closed with it."""

    __slots__ = ("_archive", "_data", "path", "size")

    def __init__(self, archive: Source, name: str, data: bytes) -> None:
        self.path = f"{archive.path}/{name}"
        self.size = len(data)
        self._archive = archive
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FileError(self.path, f"{length} bytes were looked for at byte {offset} of {self.size}")
        return self._data[offset : offset + length]

    def refuse_changed(self) -> None:
        self._archive.refuse_changed()

    def sibling(self, name: str) -> Source:
        return Window(self._archive, 0, 0).sibling(name)

    def close(self) -> None:
        self._archive.close()

"""Files that an ONNX file names for its numbers: opened when numbers are read from them, and only in its own folder."""

from __future__ import annotations

from ...errors import FileError
from .._safetensors_header import shown
from ..source import Source

__all__ = ["Beside", "Folder"]

OPEN = 64
"""How many such files are held open; of more, the one that was opened first is closed."""


class Folder:
    """The files beside one file, each opened once. It closes what it opened."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path = source.path
        self.size = source.size
        self._open: dict[str, Source] = {}

    def file(self, name: str) -> Source:
        """The file of that name. FileError if it is not there, or lies elsewhere."""
        if name not in self._open:
            if len(self._open) >= OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = self.source.sibling(name)
        return self._open[name]

    def read(self, offset: int, length: int) -> bytes:
        return self.source.read(offset, length)

    def refuse_changed(self) -> None:
        self.source.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self.file(name)

    def close(self) -> None:
        """Close the file and those beside it that are open."""
        for source in (self.source, *self._open.values()):
            source.close()


class Beside:
    """`size` bytes of a file beside, from `offset` on. FileError at once for a name that leads out of the folder.

    Whether the file is there and long enough is found when it is read: one network may have hundreds of them.
    """

    __slots__ = ("array", "folder", "name", "offset", "path", "size")

    def __init__(self, folder: Folder, name: str, offset: int, size: int, array: str) -> None:
        parts = name.replace("\\", "/").split("/")
        if not name or "\0" in name or not parts[0] or ":" in parts[0] or ".." in parts:
            reason = f"it names the file {shown(name)!r}, which does not lie in its own folder"
            hint = "files are read from the folder of the file that names them only; do not trust this one"
            raise FileError(folder.path, reason, array=shown(array), hint=hint)
        self.folder = folder
        self.name = name
        self.offset = offset
        self.size = size
        self.array = array
        self.path = folder.path

    def read(self, offset: int, length: int) -> bytes:
        source = self.folder.file(self.name)
        if self.offset + self.size > source.size:
            last = self.offset + self.size
            reason = f"its numbers end at byte {last:,} of {shown(self.name)!r}, which has {source.size:,}"
            hint = "the file beside is damaged or cut short; download or save it again"
            raise FileError(self.path, reason, array=shown(self.array), hint=hint)
        data = source.read(self.offset + offset, length)
        source.refuse_changed()
        return data

    def refuse_changed(self) -> None:
        self.folder.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self.folder.file(name)

    def close(self) -> None:
        self.folder.close()

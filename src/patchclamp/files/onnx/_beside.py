"""An ONNX file with the files that it names for its numbers: those are opened when numbers are read from them, and only
in its own folder. Edits of them are held in memory, over the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

from ...errors import FileError
from .._atomic import put, replacing
from .._handle import FileHandle
from .._safetensors_header import shown
from ..source import Source
from ._overlay import Overlay

__all__ = ["Beside", "Folder"]

OPEN = 64
"""How many such files are held open; of more, the one that was opened first is closed."""


class Folder:
    """One file and those beside it, each opened once. It closes what it opened.

    version   how often its numbers were written
    beside    the folder of a local file; empty for one elsewhere
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path = source.path
        self.size = source.size
        self.version = 0
        self.overlays: dict[str, Overlay] = {}
        self._open: dict[str, Source] = {}

    @property
    def beside(self) -> str:
        return os.path.dirname(os.path.abspath(self.path)) if isinstance(self.source, FileHandle) else ""

    @property
    def edited(self) -> bool:
        """Whether any number is another than in the files."""
        return any(overlay.edited for overlay in self.overlays.values())

    def overlay(self, name: str = "") -> Overlay:
        """The file of that name, or the file itself, so that it can be written in memory."""
        if name not in self.overlays:
            base = partial(self._file, name) if name else partial(_itself, self.source)
            self.overlays[name] = Overlay(base, self._changed)
        return self.overlays[name]

    def write_through(self, storages: Iterable[Any]) -> None:
        """Let these storages of arrays read the file, and write to it, through its overlay."""
        for storage in storages:
            held = storage
            while (inner := getattr(held, "source", None)) is not None:
                if inner is self.source:
                    held.source = self.overlay()
                    break
                held = inner

    def data(self) -> bytes:
        """The bytes of the file itself, with the edits."""
        self.refuse_changed()
        source: Source = self.overlays.get("", self.source)
        return source.read(0, self.size)

    def outside(self, name: str, offset: int, length: int) -> bytes | None:
        """Bytes of a file beside this one, if any of them were edited."""
        overlay = self.overlays.get(name)
        return overlay.read(offset, length) if overlay is not None and overlay.touches(offset, length) else None

    def read_beside(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file beside this one, with the edits."""
        return self.file(name).read(offset, length)

    def put(self, path: str, parts: Iterable[bytes]) -> None:
        """Write a file whole or not at all."""
        with replacing(path) as file:
            for part in parts:
                put(path, file, part)

    def _changed(self) -> None:
        self.version += 1

    def file(self, name: str) -> Source:
        """The file of that name, with the edits. FileError if it is not there, or lies elsewhere."""
        return self.overlays[name] if name in self.overlays else self._file(name)

    def _file(self, name: str) -> Source:
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


def _itself(source: Source) -> Source:
    return source


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

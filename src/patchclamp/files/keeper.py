"""Edits of a file: changes held in memory until they are kept, then written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from ..arrays import Array, Values
from ..axes import Key
from ..errors import EditError
from . import safetensors
from ._handle import FileHandle, path_text
from ._strided import Strided
from .stored import Stored

__all__ = ["FileKeeper"]

_LEDGER = "patchclamp.files.ledger"
"""Imported when there is something to change: opening a file to read it is quicker without."""
Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[bytes]]]


class FileKeeper:
    """The part of the keeper protocol that a file can offer: edits that are written when they are kept."""

    def __init__(self, file: Stored) -> None:
        self.path = file.path
        self._format = file.format
        self._arrays = file.arrays
        self._sources = file.sources

    def ledger(self) -> Any:
        if self._format != "safetensors" or len(self._sources) != 1 or not isinstance(self._sources[0], FileHandle):
            what = "one local safetensors file"
            reason = f"{self.path} cannot be edited: only {what} can, and this is {self._format}"
            raise EditError(reason, "load it into its model and edit that, or save it as .safetensors")
        return import_module(_LEDGER).FileLedger(self.write)

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        raise EditError(f"{self.path} is a file: nothing trains it, so nothing can be frozen")

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Any:
        raise EditError(f"{self.path} is a file: it cannot run, so the bias of {layer!r} cannot be untied")

    def state(self, saved: object = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every array of the file. What an edit changed is not in it before the edit is kept."""
        reader = import_module(_LEDGER).reader_of
        return [(a.name, a.dtype, a.shape, reader(a)) for a in self._arrays], {}

    def before(self, array: Array, key: Key) -> Values:
        """What the file holds there: an edit is not in it before it is kept."""
        found: Values = array.read(key)
        return found

    def after(self, ledger: Any) -> Sequence[Entry]:
        """Every array of the file as the changes of a ledger make it."""
        return [(a.name, a.dtype, a.shape, ledger.reader(a)) for a in self._arrays]

    def held(self) -> str:
        """The file itself."""
        return self.path

    def save_as(self, path: str) -> bool:
        """A file is written by `edit.keep`."""
        return False

    def raw(self, value: Values) -> bytes:
        return value.data

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Values:
        return Values(dtype, shape, data)

    def write(self, changes: Mapping[str, list[tuple[Key, bytes]]], path: str | None) -> None:
        """Write a copy with other bytes at some keys. In place, everything that was opened reads the new file after."""
        for source in self._sources:
            source.refuse_changed()
        target = self.path if path is None else path_text(path)
        safetensors.rewrite(self.path, target, dict(changes))
        if os.path.realpath(target) == os.path.realpath(self.path):
            source = FileHandle(self.path)
            self._sources = (source,)
            for array in self._arrays:
                assert isinstance(array.storage, Strided)
                array.storage.source = source

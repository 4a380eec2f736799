"""Edits of a file whose arrays go by other names than those that the file has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..axes import Key
from ..errors import EditError
from .keeper import FileKeeper
from .stored import Stored

__all__ = ["RenamedKeeper", "keeper_of"]


class RenamedKeeper(FileKeeper):
    """The keeper of a file, for a network whose arrays have the names that `names` maps to those of the file."""

    def __init__(self, file: Stored, names: Mapping[str, str]) -> None:
        super().__init__(file)
        self._names = names

    def write(self, changes: Mapping[str, list[tuple[Key, bytes]]], path: str | None) -> None:
        for name in changes:
            if name not in self._names:
                reason = f"{name} is put together from several arrays of {self.path}, so it cannot be written there"
                raise EditError(reason, "load the file into its model and edit that; nothing was changed")
        super().write({self._names[name]: data for name, data in changes.items()}, path)


def keeper_of(file: Stored, layers: Mapping[str, Any]) -> FileKeeper:
    """The keeper for the layers of a class tree, whose arrays share their storage with those of the file."""
    held = {id(array.storage): array.name for array in file.arrays}
    arrays = (array for layer in layers.values() for array in layer.arrays)
    return RenamedKeeper(file, {array.path: held[id(array.storage)] for array in arrays if id(array.storage) in held})

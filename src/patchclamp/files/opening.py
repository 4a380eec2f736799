"""From a path to a `Model`: which format it is, its layers, and a keeper that writes edited copies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..arrays import Array, Values, encode
from ..axes import Key
from ..errors import EditError
from ..model import Model
from . import safetensors
from .naming import layers_of

__all__ = ["open_path"]


def open_path(path: str | os.PathLike[str]) -> Model:
    """Open a file as a network that can be read and edited but not run. No code in it is run.

    Raises FileError for what is not there, is no regular file, or is not what it says.
    """
    file = safetensors.open_file(path)
    return Model(file.path, "safetensors", layers_of(file.arrays, file.metadata), None, FileKeeper(file.path))


class FileKeeper:
    """The part of the keeper protocol that a file can offer: edits that are written when they are kept."""

    def __init__(self, path: str) -> None:
        self.path = path

    def ledger(self) -> FileLedger:
        return FileLedger(self.path)

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        raise EditError(f"{self.path} is a file: nothing trains it, so nothing can be frozen")


class FileLedger:
    """Changes to a file, held in memory until they are kept; then written whole or not at all."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._pending: dict[tuple[str, str], tuple[Key, bytes]] = {}
        self._saved: list[tuple[Array, Key, Values]] = []

    def check(self, array: Array, key: Key, value: Any, what: str) -> None:
        now = self._now(array, key)
        if value is None:
            return
        shape, _ = _flat(value, what)
        if shape and shape != now.shape:
            raise EditError(
                f"{what}: {array.path} takes values of shape {now.shape} here, not {shape}", "nothing was changed"
            )

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        before = self._now(array, key)
        new = _apply(before, verb, value)
        self._saved.append((array, key, before))
        self._pending[array.path, str(key)] = (key, new)

    def undo(self) -> None:
        self._pending.clear()
        self._saved.clear()

    def keep(self, path: str | None) -> None:
        """Write the file with the changes, to `path` or in its own place; every other byte stays as it is."""
        changes: dict[str, list[tuple[Key, bytes]]] = {}
        for (name, _), (key, data) in self._pending.items():
            changes.setdefault(name, []).append((key, data))
        safetensors.rewrite(self.path, path or self.path, changes)
        self.undo()

    def saved(self) -> Sequence[tuple[Array, Key, Values]]:
        return self._saved

    def _now(self, array: Array, key: Key) -> Values:
        """What stands at a key, with the pending change of that very key."""
        pending = self._pending.get((array.path, str(key)))
        values: Values = array.read(key)
        return values if pending is None else Values(values.dtype, values.shape, pending[1])


def _apply(before: Values, verb: str, value: Any) -> bytes:
    if verb == "zero":
        return bytes(len(before.data))
    numbers = list(before.flat())
    if verb == "scale":
        return encode(before.dtype, [number * value for number in numbers])
    _, given = _flat(value, verb)
    filled = given * len(numbers) if len(given) == 1 else given
    if verb == "add":
        filled = [a + b for a, b in zip(numbers, filled, strict=True)]
    return encode(before.dtype, filled)


def _flat(value: Any, what: str) -> tuple[tuple[int, ...], list[Any]]:
    """The shape and the numbers of a nested list, an array with `tolist`, or a number."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        return (), [value]
    parts = [_flat(item, what) for item in value]
    if len({shape for shape, _ in parts}) > 1:
        raise EditError(f"{what}: the values given are ragged", "nothing was changed")
    shape = parts[0][0] if parts else ()
    return (len(parts), *shape), [number for _, numbers in parts for number in numbers]

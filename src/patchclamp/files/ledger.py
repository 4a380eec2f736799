"""Changes to a file, held in memory until they are kept."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from ..arrays import Array, Values, dtype
from ..axes import Key
from ..errors import EditError, KindError
from .change import NOTHING, changed, flat
from .keys import lay_over, spans

__all__ = ["FileLedger", "reader_of"]

CHUNK = 8 << 20
"""An array is read whole in pieces of about so many bytes."""


def reader_of(array: Array) -> Callable[[], Iterable[bytes]]:
    """What gives an array of a file chunk by chunk."""
    return lambda: (array.read(key).data for key in _rows(array))


def _rows(array: Array) -> Iterator[Key]:
    """Keys that take an array in order, a few MiB at a time where it has rows."""
    if not array.shape:
        yield ()
        return
    row = dtype(array.dtype).size * prod(array.shape[1:])
    many = max(1, CHUNK // max(row, 1))
    for first in range(0, array.shape[0], many):
        yield (slice(first, min(first + many, array.shape[0])),)


class FileLedger:
    """Changes to a file, held in memory until they are kept; then written whole or not at all."""

    def __init__(self, write: Callable[[Mapping[str, list[tuple[Key, bytes]]], str | None], None]) -> None:
        self._write = write
        self._pending: list[tuple[Array, Key, bytes]] = []
        self._saved: list[tuple[Array, Key, Values]] = []

    gathers = False

    def check(self, array: Array, key: Key, verb: str, value: Any, what: str) -> None:
        """Refuse values of a wrong shape, and those that the array's type cannot hold."""
        if verb == "freeze":
            return
        now = self.now(array, key)
        shape, numbers = flat(0 if verb == "zero" else value, what, array.path)
        if verb == "scale" and shape:
            raise EditError(f"{what}: a factor is one number, not {shape} of them", NOTHING)
        if shape and shape != now.shape:
            raise EditError(f"{what}: {array.path} takes values of shape {now.shape} here, not {shape}", NOTHING)
        try:
            changed(now, verb, value, numbers)
        except (KindError, TypeError, struct.error) as error:
            raise EditError(f"{what}: {array.path} is {array.dtype} and cannot hold that: {error}", NOTHING) from error

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        before = self.now(array, key)
        new = changed(before, verb, value, flat(0 if verb == "zero" else value, verb, array.path)[1])
        self._saved.append((array, key, before))
        self._pending.append((array, key, new))

    def mark(self) -> int:
        return len(self._pending)

    def undo(self, mark: int = 0) -> None:
        del self._pending[mark:]
        del self._saved[mark:]

    def keep(self, path: str | None) -> None:
        """Write the file with the changes, to `path` or in its own place; every other byte stays as it is."""
        changes: dict[str, list[tuple[Key, bytes]]] = {}
        for array, key, data in self._pending:
            changes.setdefault(array.path, []).append((key, data))
        self._write(changes, path)
        self.undo()

    def saved(self) -> Sequence[tuple[Array, Key, Values]]:
        return self._saved

    def reader(self, array: Array) -> Callable[[], Iterable[bytes]]:
        """What gives an array with the changes so far, chunk by chunk."""
        changed = next((other for other, _, _ in self._pending if other.storage is array.storage), None)
        if changed is None:
            return reader_of(array)
        return lambda: (self.now(changed, key).data for key in _rows(changed))

    def now(self, array: Array, key: Key) -> Values:
        """What stands at a key with the changes so far laid over it, the last one on top."""
        values: Values = array.read(key)
        mine, data = spans(array.shape, key), bytearray(values.data)
        for other, place, new in self._pending:
            if other.path == array.path:
                lay_over(data, mine, spans(array.shape, place), new, dtype(array.dtype).size)
        return Values(values.dtype, values.shape, bytes(data))

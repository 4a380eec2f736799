"""From a path to a `Model`: which format it is, its layers, and a keeper that writes edited copies."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..arrays import Array, Values, dtype, encode
from ..axes import Key
from ..errors import EditError, KindError
from ..model import Model
from . import safetensors
from ._handle import path_text
from .keys import lay_over, spans
from .naming import layers_of

__all__ = ["open_path"]

_NOTHING = "nothing was changed"
Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[bytes]]]


def open_path(path: str | os.PathLike[str]) -> Model:
    """Open a file as a network that can be read and edited but not run. No code in it is run.

    Raises FileError for what is not there, is no regular file, or is not what it says.
    """
    file = safetensors.open_file(path)
    return Model(file.path, "safetensors", layers_of(file.arrays, file.metadata), None, FileKeeper(file))


class FileKeeper:
    """The part of the keeper protocol that a file can offer: edits that are written when they are kept."""

    def __init__(self, file: safetensors.SafetensorsFile) -> None:
        self.path = file.path
        self._arrays = file.arrays
        self._handle = file.handle

    def ledger(self) -> FileLedger:
        return FileLedger(self)

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        raise EditError(f"{self.path} is a file: nothing trains it, so nothing can be frozen")

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Any:
        raise EditError(f"{self.path} is a file: it cannot run, so the bias of {layer!r} cannot be untied")

    def state(self, saved: object = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every array of the file. What an edit changed is not in it before the edit is kept."""
        return [(a.name, a.dtype, a.shape, _reader(a)) for a in self._arrays], {}

    def raw(self, value: Values) -> bytes:
        return value.data

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Values:
        return Values(dtype, shape, data)

    def write(self, changes: Mapping[str, list[tuple[Key, bytes]]], path: str | None) -> None:
        """Write a copy with other bytes at some keys. In place, everything that was opened reads the new file after."""
        self._handle.refuse_changed()
        target = self.path if path is None else path_text(path)
        safetensors.rewrite(self.path, target, dict(changes))
        if os.path.realpath(target) == os.path.realpath(self.path):
            self._handle = safetensors.open_file(self.path).handle
            for array in self._arrays:
                assert isinstance(array.storage, safetensors.SafetensorsStorage)
                array.storage.handle = self._handle


def _reader(array: Array) -> Callable[[], Iterable[bytes]]:
    return lambda: [array.read().data]


class FileLedger:
    """Changes to a file, held in memory until they are kept; then written whole or not at all."""

    def __init__(self, keeper: FileKeeper) -> None:
        self.keeper = keeper
        self._pending: list[tuple[Array, Key, bytes]] = []
        self._saved: list[tuple[Array, Key, Values]] = []

    gathers = False

    def check(self, array: Array, key: Key, verb: str, value: Any, what: str) -> None:
        """Refuse values of a wrong shape, and those that the array's type cannot hold."""
        if verb == "freeze":
            return
        now = self.now(array, key)
        shape, numbers = _flat(0 if verb == "zero" else value, what, array.path)
        if verb == "scale" and shape:
            raise EditError(f"{what}: a factor is one number, not {shape} of them", _NOTHING)
        if shape and shape != now.shape:
            raise EditError(f"{what}: {array.path} takes values of shape {now.shape} here, not {shape}", _NOTHING)
        try:
            _apply(now, verb, value, numbers)
        except (KindError, TypeError, struct.error) as error:
            raise EditError(f"{what}: {array.path} is {array.dtype} and cannot hold that: {error}", _NOTHING) from error

    def change(self, array: Array, key: Key, verb: str, value: Any) -> None:
        before = self.now(array, key)
        new = _apply(before, verb, value, _flat(0 if verb == "zero" else value, verb, array.path)[1])
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
        self.keeper.write(changes, path)
        self.undo()

    def saved(self) -> Sequence[tuple[Array, Key, Values]]:
        return self._saved

    def now(self, array: Array, key: Key) -> Values:
        """What stands at a key with the changes so far laid over it, the last one on top."""
        values: Values = array.read(key)
        mine, data = spans(array.shape, key), bytearray(values.data)
        for other, place, new in self._pending:
            if other.path == array.path:
                lay_over(data, mine, spans(array.shape, place), new, dtype(array.dtype).size)
        return Values(values.dtype, values.shape, bytes(data))


def _apply(before: Values, verb: str, value: Any, given: list[Any]) -> bytes:
    """The new bytes, rounded as torch rounds: so an edit of a file and of the live network give the same."""
    if verb == "zero":
        if before.dtype == "float8_e8m0fnu":
            raise KindError("float8_e8m0fnu has no zero")
        return bytes(len(before.data))
    if verb == "set" and isinstance(value, Values) and (value.dtype, value.shape) == (before.dtype, before.shape):
        return value.data
    count = before.size
    filled = given * count if len(given) == 1 else given
    if verb == "set":
        return _rounded(before.dtype, filled)
    numbers = list(before.flat())
    if verb == "add":
        addends = Values(before.dtype, (count,), _rounded(before.dtype, filled)).flat()
        return _rounded(before.dtype, [a + b for a, b in zip(numbers, addends, strict=True)])
    factor = value
    if dtype(before.dtype).size < 8 and dtype(before.dtype).floating:
        # float32 is what torch multiplies these in: the factor and the product are rounded to it first.
        factor = _single([factor])[0]
        return _rounded(before.dtype, _single([number * factor for number in numbers]))
    return _rounded(before.dtype, [number * factor for number in numbers])


def _single(numbers: Sequence[float]) -> list[float]:
    """Numbers rounded to float32."""
    return list(Values("float32", (len(numbers),), _rounded("float32", numbers)).flat())


def _rounded(name: str, numbers: Sequence[Any]) -> bytes:
    """As `encode`; a number too large for a float type becomes infinite there."""
    try:
        return encode(name, numbers)
    except KindError:
        if not dtype(name).letter and name != "bfloat16":
            raise
        return b"".join(_one(name, number) for number in numbers)


def _one(name: str, number: Any) -> bytes:
    try:
        return encode(name, [number])
    except KindError:
        if not dtype(name).floating or not isinstance(number, (int, float)):
            raise
        return encode(name, [float("inf") if number > 0 else -float("inf")])


def _flat(value: Any, what: str, name: str) -> tuple[tuple[int, ...], list[Any]]:
    """The shape and the numbers of a nested list, an array with `tolist`, or a number."""
    try:
        value = value.tolist() if hasattr(value, "tolist") else value
    except (RuntimeError, TypeError, ValueError) as error:
        raise EditError(f"{what}: the values given are no plain numbers", _NOTHING) from error
    if not isinstance(value, (list, tuple)):
        if not isinstance(value, complex) and not hasattr(value, "__float__") and not hasattr(value, "__index__"):
            given = (
                repr(value) if value is None or isinstance(value, (str, bytes)) else f"{type(value).__name__} objects"
            )
            raise EditError(f"{what}: {name} takes numbers, not {given}", _NOTHING)
        return (), [value]
    parts = [_flat(item, what, name) for item in value]
    if len({shape for shape, _ in parts}) > 1:
        raise EditError(f"{what}: the values given are ragged", _NOTHING)
    shape = parts[0][0] if parts else ()
    return (len(parts), *shape), [number for _, numbers in parts for number in numbers]

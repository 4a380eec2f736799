"""What a live TensorFlow network offers beside running: ledgers for edits, its state as bytes, SavedModels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from ..written import Numbers, WrittenLedger
from .tree import is_loaded

__all__ = ["TensorFlowKeeper"]

_CHUNK = 1 << 22
_GRAPH = "saved_model.pb"
_INDEX = ".index"

Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]


class TensorFlowKeeper:
    """The keeper protocol of `patchclamp.protocols` for one tf.Module or loaded SavedModel."""

    def __init__(self, root: Any, arrays: Sequence[Array]) -> None:
        self.root = root
        self.arrays = arrays

    def ledger(self) -> WrittenLedger:
        return WrittenLedger()

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        hint = "edit them back after each step, or make the variables anew with trainable=False"
        raise EditError("weights of a TensorFlow network cannot be frozen here", hint)

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None] = lambda: None) -> Any:
        raise EditError(f"the bias of {layer!r} cannot be untied in a TensorFlow network", "nothing was changed")

    def state(self, saved: Sequence[tuple[Array, Key, Numbers]] = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every variable as (name, dtype, shape, chunks of bytes), and which names are ties of another.

        With what an edit has `saved`, the numbers are those from before it. EditError for variables that hold no
        numbers.
        """
        entries: list[Entry] = []
        ties: dict[str, str] = {}
        first: dict[Any, str] = {}
        for array in self.arrays:
            storage: Any = array.storage
            if storage.variable.dtype in (tf.string, tf.resource, tf.variant):
                raise EditError(f"{array.path} {storage.why_not()}, so it cannot be saved", "nothing was written")
            if first.setdefault(storage.identity, array.path) != array.path:
                ties[array.path] = first[storage.identity]
                continue
            entries.append((array.path, array.dtype, array.shape, _chunker(storage, saved)))
        return entries, ties

    def held(self) -> Any:
        return self.root

    def save_as(self, path: str) -> bool:
        """A SavedModel, for a path that ends with a slash; a checkpoint, for one that ends with `.index`.

        A SavedModel is written beside the folder and takes its place as a whole; EditError where the folder holds
        something else. Of a checkpoint, the file of numbers takes its place first and its index, which holds their
        checksums, last.
        """
        if path.endswith(("/", os.sep)):
            self._save_model(Path(path))
        elif path.endswith(_INDEX):
            self._save_checkpoint(Path(path))
        else:
            return False
        return True

    def raw(self, value: Numbers) -> bytes:
        """The bytes of numbers, little-endian, in row-major order."""
        return np.ascontiguousarray(value).tobytes()

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Numbers:
        return np.frombuffer(data, tf.as_dtype(dtype).as_numpy_dtype).reshape(shape)

    def _save_model(self, path: Path) -> None:
        if path.exists() and any(path.iterdir()) and not (path / _GRAPH).exists():
            raise EditError(f"{path} is a folder that holds something else than a SavedModel", "give another name")
        with _beside(path) as made:
            target, old = made / "new", made / "old"
            signatures = dict(self.root.signatures) if is_loaded(self.root) else None
            tf.saved_model.save(self.root, str(target), signatures=signatures)
            _flush(target)
            if path.exists():
                path.rename(old)
            target.rename(path)

    def _save_checkpoint(self, path: Path) -> None:
        name = path.name.removesuffix(_INDEX)
        with _beside(path) as made:
            tf.train.Checkpoint(root=self.root).write(str(made / name))
            _flush(made)
            written = sorted(made.iterdir(), key=lambda file: file.suffix == _INDEX)
            for file in written:
                os.replace(file, path.parent / file.name)


class _beside(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
    """A folder beside a path, for what is to take its place; gone at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(prefix=f".{path.name}.", dir=path.parent)

    def __enter__(self) -> Path:
        return Path(super().__enter__())


def _flush(folder: Path) -> None:
    """See that what was written is on the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


def _chunker(storage: Any, saved: Sequence[tuple[Array, Key, Numbers]]) -> Callable[[], Iterator[memoryview]]:
    return lambda: _chunks(_before(storage, saved))


def _before(storage: Any, saved: Sequence[tuple[Array, Key, Numbers]]) -> Numbers:
    """The numbers of a variable as they were before an edit that saved these."""
    numbers: Numbers = storage.numbers()
    for array, key, old in reversed(saved):
        other: Any = array.storage
        if other.identity == storage.identity:
            numbers[key] = old
    return numbers


def _chunks(numbers: Numbers) -> Iterator[memoryview]:
    """The bytes of an array, a few megabytes at a time."""
    flat = np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _CHUNK):
        part: Any = flat[start : start + _CHUNK]
        yield memoryview(part)

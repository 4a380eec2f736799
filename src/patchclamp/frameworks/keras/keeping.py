"""What a live Keras model offers beside running: ledgers for edits, its state as bytes, files in Keras' own formats."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from ...arrays import Array
from ...axes import Key
from ...errors import EditError, FileError
from ...model import LayerInfo
from ..written import WrittenLedger
from .freezing import Frozen
from .unchanged import every_layer, left_alone

__all__ = ["KerasKeeper"]

_CHUNK = 1 << 22
_WEIGHTS, _WHOLE = ".weights.h5", (".keras", ".h5", ".hdf5")

Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]


class KerasKeeper:
    """The keeper protocol of `patchclamp.protocols` for one live layer or model."""

    def __init__(self, layer: Any, layers: Mapping[str, LayerInfo]) -> None:
        self.layer = layer
        self.layers = layers

    def ledger(self) -> WrittenLedger:
        return WrittenLedger()

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Frozen:
        return Frozen(self.layer, regions)

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None] = lambda: None) -> Any:
        """EditError: a layer of Keras that is built takes no further variables."""
        raise EditError(
            f"the bias of {layer!r} cannot be untied: a Keras layer that is built takes no further variables",
            "build the layer with use_bias=False and a layer of your own after it that adds a bias for each position",
        )

    def state(self, saved: Sequence[tuple[Array, Key, NDArray[Any]]] = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every variable once as (name, dtype, shape, chunks of bytes), and which names are ties of another.

        With what an edit has `saved`, the numbers are those from before it. Raises EditError for arrays that are codes.
        """
        before = _before(saved)
        entries: list[Entry] = []
        first: dict[Hashable, str] = {}
        ties: dict[str, str] = {}
        for array in (array for layer in self.layers.values() for array in layer.arrays if array.role != "computed"):
            storage: Any = array.storage
            if array.dtype == "qint8":
                what = f"{array.path} is {array.note}, so it cannot be saved as plain numbers"
                raise EditError(what, "save it with Keras, as .keras; nothing was written")
            if first.setdefault(storage.identity, array.path) != array.path:
                ties[array.path] = first[storage.identity]
                continue
            read = before.get(storage.identity, storage.numbers)
            entries.append((array.path, array.dtype, array.shape, _chunker(read)))
        return entries, ties

    def held(self) -> Any:
        """The very layer that was opened: its variables are written in place."""
        return self.layer

    def save_as(self, path: str) -> bool:
        """Write a model as `.keras`, `.h5` or `.weights.h5` by Keras itself; False for another ending.

        Raises EditError for a layer that is no model, and where Keras cannot save it. The file is replaced as a whole.
        """
        if not path.endswith((_WEIGHTS, *_WHOLE)):
            return False
        if not isinstance(self.layer, keras.Model):
            shown = type(self.layer).__name__
            raise EditError(
                f"Keras saves models, and {shown} {self.layer.name!r} is a layer",
                "keras.Sequential([layer]) makes a model of it, or save it as .safetensors; nothing was written",
            )
        target = os.path.realpath(path)
        with _beside(target) as folder:
            made = os.path.join(folder, os.path.basename(path))
            try:
                with left_alone(every_layer(self.layer)):  # Keras reads every attribute; some set others when read
                    (self.layer.save_weights if path.endswith(_WEIGHTS) else self.layer.save)(made)
            except Exception as error:
                said = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise EditError(f"Keras cannot save this model to {path}: {said}", "nothing was written") from error
            _replace(made, target)
        return True

    def raw(self, value: NDArray[Any]) -> bytes:
        """The bytes of numbers, little-endian, in row-major order."""
        return np.ascontiguousarray(value).tobytes()

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> NDArray[Any]:
        kind = np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
        return np.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def _before(saved: Sequence[tuple[Array, Key, NDArray[Any]]]) -> Mapping[Hashable, Callable[[], NDArray[Any]]]:
    """The arrays that an edit wrote to, as they were; by where they lie."""
    copies: dict[Hashable, NDArray[Any]] = {}
    for array, key, value in reversed(saved):
        storage: Any = array.storage
        if storage.identity not in copies:
            copies[storage.identity] = storage.numbers()
        copies[storage.identity][key] = value
    return {identity: _giver(copy) for identity, copy in copies.items()}


def _giver(numbers: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    return lambda: numbers


def _chunker(read: Callable[[], NDArray[Any]]) -> Callable[[], Iterator[memoryview]]:
    def chunks() -> Iterator[memoryview]:
        flat: Any = np.ascontiguousarray(read()).reshape(-1).view(np.uint8)
        for start in range(0, len(flat), _CHUNK):
            yield memoryview(flat[start : start + _CHUNK])

    return chunks


def _replace(made: str, target: str) -> None:
    """Put a finished file in the place of another, with that one's permissions."""
    if os.path.exists(target):
        shutil.copymode(target, made)
    with open(made, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(made, target)


def _beside(target: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for what is written, beside its place. FileError where none can be made there."""
    try:
        return tempfile.TemporaryDirectory(prefix=".", dir=os.path.dirname(target))
    except OSError as error:
        raise FileError(target, f"cannot be written: {error.strerror or error}") from error

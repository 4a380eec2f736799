"""Edits of an ONNX file: held in memory over the file, which stays as it is, and written as a copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ...arrays import Array, Values
from ...axes import Key
from ...errors import EditError
from ..written import Numbers, WrittenLedger
from .session import needed

__all__ = ["OnnxKeeper"]

ENDING = ".onnx"
CHUNK = 8 << 20
Entry = tuple[str, str, tuple[int, ...], Callable[[], Iterable[bytes]]]


class _File(Protocol):
    """The file that is open, its edits, and a way to replace a file as a whole."""

    @property
    def path(self) -> str: ...

    @property
    def edited(self) -> bool: ...

    def data(self) -> bytes: ...

    def outside(self, name: str, offset: int, length: int) -> bytes | None: ...

    def read_beside(self, name: str, offset: int, length: int) -> bytes: ...

    def write_through(self, storages: Iterable[Any]) -> None: ...

    def put(self, path: str, parts: Iterable[bytes]) -> None: ...


class OnnxKeeper:
    """The keeper protocol of `patchclamp.protocols` for one ONNX file."""

    def __init__(self, file: _File, arrays: Sequence[Array]) -> None:
        self.file = file
        self.arrays = arrays
        self._writable = False

    def ledger(self) -> WrittenLedger:
        """An edit in memory: reads and runs see it, the file does not change; `keep(path)` writes a copy."""
        if not self._writable:
            self.file.write_through(array.storage for array in self.arrays)
            self._writable = True
        return WrittenLedger(self._keep)

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        raise EditError(f"{self.file.path} is a file: nothing trains it, so nothing can be frozen")

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Any:
        raise EditError(
            f"the bias of {layer!r} cannot be untied: a node of an ONNX graph has one for each filter",
            "untie it in the framework that the file was exported from",
        )

    def state(self, saved: Sequence[tuple[Array, Key, Numbers]] = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every array that holds numbers, as it is now; with what an edit has `saved`, as it was before."""
        arrays = [array for array in self.arrays if _readable(array)]
        return [(a.name, a.dtype, a.shape, _reader(a, saved)) for a in arrays], {}

    def held(self) -> Any:
        """The path of the file as long as it is not edited, else a ModelProto: the whole network with the edits."""
        if not self.file.edited:
            return self.file.path
        needed("onnx")
        from .parsing import filled

        return filled(self.file)

    def save_as(self, path: str) -> bool:
        """Write the network as it is now to a file that ends in .onnx, atomically; say whether it does.

        Numbers that lie in files beside the one that is open are gathered in one, PATH.data. EditError for the file
        that is open.
        """
        if not path.lower().endswith(ENDING):
            return False
        if os.path.realpath(path) == os.path.realpath(self.file.path):
            raise EditError(f"{path} is open, and stays as it is", "write the edited copy under another name")
        needed("onnx")
        from .parsing import gathered

        model, parts = gathered(self.file, f"{os.path.basename(path)}.data")
        if model is None:
            self.file.put(path, [self.file.data()])
        else:
            self.file.put(f"{path}.data", parts)
            self.file.put(path, [model])
        return True

    def raw(self, value: Any) -> bytes:
        """The bytes of numbers, little-endian, in row-major order."""
        if isinstance(value, Values):
            return value.data
        return bytes(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Values:
        return Values(dtype, shape, data)

    def _keep(self, path: str | None) -> None:
        """What is kept without a path is kept in memory."""
        if path is not None and not self.save_as(os.fspath(path)):
            raise EditError(
                f"an edit of an ONNX file is kept as one that ends in {ENDING}, not {path!r}",
                f"net.save({path!r}) writes the arrays as .safetensors",
            )


def _readable(array: Array) -> bool:
    """Whether it holds numbers: text and types that are not known do not."""
    storage: Any = array.storage
    return storage.readable is True


def _reader(array: Array, saved: Sequence[tuple[Array, Key, Numbers]]) -> Callable[[], Iterator[bytes]]:
    """What gives an array; one that was changed as it was before, the first change last."""
    storage: Any = array.storage
    mine = [(key, before) for other, key, before in saved if _same(other, storage)]

    def read() -> Iterator[bytes]:
        if mine:
            now = storage.numbers()
            for key, before in reversed(mine):
                now[key] = before
            yield now.tobytes()
            return
        row = len(storage.read((slice(0, 1),)).data) if array.shape and array.shape[0] else 0
        many = max(1, CHUNK // max(row, 1))
        keys = ((slice(i, i + many),) for i in range(0, array.shape[0], many)) if array.shape else iter([()])
        for key in keys:
            yield storage.read(key).data

    return read


def _same(array: Array, storage: Any) -> bool:
    other: Any = array.storage
    return other is storage or (getattr(other, "identity", other) == getattr(storage, "identity", storage))

"""Edit and save the arrays of a network of JAX."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

import jax.numpy as jnp
import numpy as np

from ...arrays import Array
from ...axes import Key
from ...errors import EditError
from ..written import Numbers, WrittenLedger
from .holding import Leaf

__all__ = ["Entry", "JaxKeeper", "Writer", "written_beside"]

_CHUNK = 1 << 22

Entry: TypeAlias = tuple[str, str, tuple[int, ...], Callable[[], Iterable[Any]]]
"""An array to be saved: name, element type, shape, and its bytes in pieces."""
Writer: TypeAlias = Callable[[BinaryIO, Any], None]
"""Writes what is held to an open file in a library's own format."""


@dataclass(frozen=True)
class JaxKeeper:
    """The keeper protocol of `patchclamp.protocols`.

    held     gives the network as it is now, with its edits
    arrays   every stored array of the network; the storage of each is a `Leaf`
    writers  ending of a path (`.eqx`) -> what writes that format
    """

    now: Callable[[], Any]
    arrays: Sequence[Array]
    writers: Mapping[str, Writer] = field(default_factory=dict)

    def ledger(self) -> WrittenLedger:
        return WrittenLedger()

    def held(self) -> Any:
        """The network as it is now: what was opened, or the edited copy of it."""
        return self.now()

    def freeze(self, regions: Sequence[tuple[Array, Key]]) -> Any:
        """Raises EditError: a JAX optimizer is a function that takes arrays and gives others."""
        first = regions[0][0].path if regions else "it"
        raise EditError(
            f"{first} cannot be held in place: in JAX nothing of a network is written as it trains, an optimizer gives "
            "a new tree of arrays",
            "mask its updates: optax.masked, or optax.multi_transform with optax.set_to_zero, and set these "
            "elements of the gradients to zero",
        )

    def untie(self, layer: str, extents: tuple[int, ...], changed: Callable[[], None]) -> Any:
        """Raises EditError: an array of another shape would change the class of the layer."""
        raise EditError(
            f"the bias of {layer!r} cannot be given a number for each position: a layer of JAX takes the arrays of its "
            "class",
            "add a layer of your own after it that holds a map of biases",
        )

    def state(self, saved: Sequence[tuple[Array, Key, Numbers]] = ()) -> tuple[Sequence[Entry], Mapping[str, str]]:
        """Every array as (name, dtype, shape, chunks of bytes), and which names are ties of another.

        With what an edit has `saved`, the numbers are those from before it. Raises EditError for what has none.
        """
        before = _before(saved)
        entries: list[Entry] = []
        ties: dict[str, str] = {}
        first: dict[Any, str] = {}
        for array in self.arrays:
            if array.role == "computed":
                continue
            storage = array.storage
            assert isinstance(storage, Leaf)
            if first.setdefault(storage.identity, array.path) != array.path:
                ties[array.path] = first[storage.identity]
                continue
            if why := storage.why_not():
                raise EditError(f"{array.path} {why}, so it cannot be saved", "nothing was written")
            entries.append((array.path, array.dtype, array.shape, _chunker(storage, before.get(storage.identity))))
        return entries, ties

    def save_as(self, path: str) -> bool:
        """Write it in the library's own format, if the ending of the path is one of its."""
        writer = self.writers.get(os.path.splitext(path)[1].lower())
        if writer is None:
            return False
        written_beside(path, lambda file: writer(file, self.held()))
        return True

    def raw(self, value: Any) -> bytes:
        """The bytes of an array, little-endian, in row-major order."""
        return _little(np.asarray(value)).tobytes()

    def from_raw(self, dtype: str, shape: tuple[int, ...], data: bytes) -> Numbers:
        return np.frombuffer(bytearray(data), dtype=jnp.dtype(dtype)).reshape(shape)


def written_beside(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all: beside the path, then in its place."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _little(value: Numbers) -> Numbers:
    value = np.ascontiguousarray(value)
    return value.astype(value.dtype.newbyteorder("<")) if value.dtype.byteorder == ">" else value


def _before(saved: Sequence[tuple[Array, Key, Numbers]]) -> dict[Any, Numbers]:
    """The arrays that an edit wrote to, as they were, by where they are."""
    copies: dict[Any, Numbers] = {}
    for array, key, value in reversed(saved):
        storage = array.storage
        assert isinstance(storage, Leaf)
        copies.setdefault(storage.identity, storage.numbers())[key] = value
    return copies


def _chunker(storage: Leaf, before: Numbers | None) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        flat = _little(storage.numbers() if before is None else before).reshape(-1)
        step = max(1, _CHUNK // flat.dtype.itemsize)
        for start in range(0, len(flat), step):
            yield flat[start : start + step].tobytes()

    return chunks

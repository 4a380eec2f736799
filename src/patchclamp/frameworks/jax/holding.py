"""Where arrays of JAX live: places in a tree, which are given another array when they are written.

JAX arrays never change. So what was opened stays as it is, and a tree that was edited is a copy with other leaves.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jax.core import Tracer

from ...axes import Key
from ...errors import KindError
from ..written import Numbers
from .values import cut, is_array, is_key

__all__ = ["Leaf", "Place", "Tree", "numbers_of", "path_name"]


class Place(Protocol):
    """Where one array stands: a leaf of a tree, a variable of a module."""

    @property
    def identity(self) -> Hashable:
        """The same for places that hold one array."""

    def get(self) -> Any:
        """The array that stands there now."""

    def set(self, value: Any) -> None:
        """Let another array stand there."""


class Tree:
    """A tree of arrays, and the same tree with other leaves once it is edited. The original is never changed.

    A leaf is named by its number in `jax.tree_util.tree_flatten`. Leaves that are one array object are one place.
    """

    def __init__(self, original: Any) -> None:
        self.original = original
        self.leaves, self.structure = jax.tree_util.tree_flatten(original)
        self._first = list(self.leaves)
        self._same: dict[int, list[int]] = {}
        for number, leaf in enumerate(self.leaves):
            if is_array(leaf):
                self._same.setdefault(id(leaf), []).append(number)
        self._held: Any = original

    def paths(self) -> Sequence[tuple[Any, ...]]:
        """The path of each leaf, as JAX's own keys."""
        return [path for path, _ in jax.tree_util.tree_flatten_with_path(self.original)[0]]

    def place(self, number: int) -> TreePlace:
        """The place of a leaf; for leaves that are one object, that of the first."""
        return TreePlace(self, self._same[id(self._first[number])][0])

    def same(self, number: int) -> Sequence[int]:
        """The leaves that are this very array, itself included."""
        return self._same[id(self._first[number])]

    def put(self, number: int, value: Any) -> None:
        for other in self.same(number):
            self.leaves[other] = value
        self._held = None

    def first(self, number: int) -> Any:
        """The leaf as it was opened."""
        return self._first[number]

    def held(self) -> Any:
        """The original itself where every leaf is the original's, else the copy."""
        if self._held is None:
            same = all(now is was for now, was in zip(self.leaves, self._first, strict=True))
            self._held = self.original if same else jax.tree_util.tree_unflatten(self.structure, self.leaves)
        return self._held


@dataclass(frozen=True)
class TreePlace:
    """A leaf of a tree."""

    tree: Tree
    number: int

    @property
    def identity(self) -> Hashable:
        return (id(self.tree), self.number)

    def get(self) -> Any:
        return self.tree.leaves[self.number]

    def set(self, value: Any) -> None:
        first = self.tree.first(self.number)
        self.tree.put(self.number, first if _same_bytes(value, first) else value)


@dataclass(frozen=True, eq=False)
class Leaf:
    """The storage of an `Array` of JAX or NumPy: the `Written` protocol for one place."""

    place: Place
    path: str
    shape: tuple[int, ...]
    note: str = ""

    @property
    def identity(self) -> Hashable:
        return self.place.identity

    def value(self) -> Any:
        """The array itself. Raises KindError where it is gone or has another shape than when it was opened."""
        value = self.place.get()
        if isinstance(value, jax.Array) and not isinstance(value, Tracer) and value.is_deleted():
            raise KindError(
                f"{self.path} was given away to a function that JAX compiled with donated arguments",
                "open what that function returned: patchclamp.open(new_model)",
            )
        shape = None if not is_array(value) else tuple(_data(value).shape)
        if shape != self.shape:
            now = "is no array any more" if shape is None else f"has shape {shape}"
            raise KindError(
                f"{self.path} {now}; when the network was opened it had shape {self.shape}",
                "open it again: patchclamp.open(model)",
            )
        return value

    def read(self, key: Key = ()) -> Any:
        """The framework's own array, cut. Raises KindError for a shape without numbers."""
        value = _data(self.value())
        _refuse_empty(value, self.path)
        return cut(value, key) if isinstance(value, jax.Array) else value[key]

    def numbers(self, key: Key = ()) -> Numbers:
        """A copy of what stands at a key, in the array's own type."""
        return numbers_of(self.value(), key, self.path)

    def write(self, key: Key, values: Numbers) -> None:
        """Let an array stand here that has these numbers at the key. The array that stood here is as it was."""
        value = self.value()
        new = numbers_of(value, (), self.path)
        new[key] = values
        self.place.set(_as(new, value))

    def why_not(self) -> str:
        """Why it cannot be written; empty if it can."""
        value = self.value()
        if isinstance(value, jax.ShapeDtypeStruct):
            return "is a shape without numbers (jax.ShapeDtypeStruct)"
        if isinstance(value, Tracer):
            return "is being traced by JAX, so it has no numbers of its own"
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            return "lies in part on devices of other processes"
        return ""

    def hold(self) -> Any:
        return self.value()

    def put_back(self, held: Any) -> None:
        self.place.set(held)


def numbers_of(value: Any, key: Key = (), path: str = "the array") -> Numbers:
    """A copy of an array's numbers at a key, in its own element type. Raises KindError where it has none here."""
    value = _data(value)
    _refuse_empty(value, path)
    if isinstance(value, jax.Array) and key and next(iter(value.devices())).platform != "cpu":
        with jax.enable_x64(True):
            return np.array(value[key])
    return np.array(np.asarray(value)[key])


def path_name(path: Sequence[Any]) -> str:
    """The keys of JAX that lead to a leaf, as a dotted name: `layers.0.weight`."""
    parts = []
    for key in path:
        word = next((getattr(key, word) for word in ("name", "key", "idx") if hasattr(key, word)), key)
        parts.append(str(word))
    return ".".join(parts)


def _data(value: Any) -> Any:
    return jax.random.key_data(value) if is_key(value) else value


def _refuse_empty(value: Any, path: str) -> None:
    if isinstance(value, (jax.ShapeDtypeStruct, Tracer)):
        what = "a shape without numbers" if isinstance(value, jax.ShapeDtypeStruct) else "being traced by JAX"
        raise KindError(f"{path} is {what}", "give the network its weights first; shapes alone can be counted")
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        raise KindError(
            f"{path} lies in part on devices of other processes",
            "gather it first: jax.experimental.multihost_utils.process_allgather(model, tiled=True)",
        )


def _as(new: Numbers, value: Any) -> Any:
    """Numbers as an array of the same sort, on the same devices, as the one whose place they take."""
    if isinstance(value, np.ndarray):
        return new
    with jax.enable_x64(True):
        if is_key(value):
            return jax.random.wrap_key_data(jax.device_put(new), impl=jax.random.key_impl(value))
        if value.weak_type:
            return value.at[...].set(new)
        return jax.device_put(new, value.sharding)


def _same_bytes(value: Any, first: Any) -> bool:
    if value is first:
        return True
    one, two = numbers_of(value), numbers_of(first)
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()

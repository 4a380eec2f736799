"""From a tree of arrays to a `Model`: dicts, lists, tuples and classes that JAX knows as pytrees.

A class that was registered (`patchclamp.register`) states its kind. For any other part names and shapes suggest one, as
they do for a file: its kind is then `inferred`, or unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ...arrays import Array
from ...attended import Attended, Wanted
from ...errors import OpenError, RunError
from ...frozen import replace
from ...kinds import Kind, class_name, find
from ...kinds.kernels import suggest
from ...model import LayerInfo, Model, describe
from . import values
from .functions import FunctionLibrary
from .holding import Leaf, Tree, path_name
from .keeping import JaxKeeper
from .running import JaxRunner, Told

__all__ = ["handles", "open_model"]

_HINT = "open it with the function that runs it: patchclamp.open((function, params)), for function(params, x)"


def handles(thing: object) -> bool:
    """Whether this is a tree with an array of JAX in it, or a function and such a tree."""
    if _is_pair(thing):
        return True
    # A network or a function among other things is no part of a tree of arrays.
    if isinstance(thing, jax.Array) or callable(thing) or (isinstance(thing, tuple) and any(map(callable, thing))):
        return False
    return _has_arrays(thing)


def _is_pair(thing: Any) -> bool:
    if not isinstance(thing, tuple) or len(thing) != 2 or not callable(thing[0]):
        return False
    # A module is callable too, but holds its arrays itself.
    return not _has_arrays(thing[0]) and _has_arrays(thing[1])


def _has_arrays(thing: Any) -> bool:
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(thing))


def open_model(thing: Any) -> Model:
    """Describe a tree of arrays, or a pair of a function and its parameters, called as `function(params, x)`.

    A matrix with a vector of the length of one of its sides counts as weight and bias, under these words, whatever the
    tree calls them; a square one only where its own word (`w`, `weight`) says how it lies.

    Layers are the parts that hold arrays, named by keys, places and fields. Nothing is copied, and nothing runs. Raises
    OpenError for a tree that holds the same name twice.

    >>> import jax.numpy as jnp
    >>> model = open_model({"fc": {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}})
    >>> model.layers["fc"].known
    'inferred'
    """
    pair = _is_pair(thing)
    tree = Tree(thing)
    listed = list(_parts(thing[1] if pair else thing))
    known = _Known.of(tree, listed)
    layers: dict[str, LayerInfo] = {}
    for part in listed:
        if part.name in layers:
            raise OpenError(f"two parts of the tree are both called {part.name!r}", "give their keys other names")
        layers[part.name] = _layer(part, known)
    arrays = [array for layer in layers.values() for array in layer.arrays]
    library: Any = FunctionLibrary(tree, layers) if pair else _Still(tree)
    source = getattr(thing[0], "__name__", "function") if pair else f"a {type(thing).__name__} of arrays"
    return Model(source, "jax", layers, JaxRunner(library), JaxKeeper(tree.held, arrays))


@dataclass(frozen=True)
class _Part:
    """A part of the tree that holds arrays itself, and these by name."""

    name: str
    node: Any
    arrays: Sequence[tuple[str, Any]]


def _parts(node: Any, name: str = "") -> Iterator[_Part]:
    children = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda inner: inner is not node)[0]
    named = [(path_name(path), child) for path, child in children if path]
    own = [(word, child) for word, child in named if values.is_array(child)]
    if own:
        yield _Part(name, node, own)
    prefix = f"{name}." if name else ""
    for word, child in named:
        if not jax.tree_util.all_leaves([child]):
            yield from _parts(child, prefix + word)


@dataclass(frozen=True)
class _Known:
    """Which leaf of the tree each array is, and its names."""

    tree: Tree
    numbers: Mapping[int, int]
    names: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, tree: Tree, listed: Sequence[_Part]) -> _Known:
        numbers: dict[int, int] = {}
        for number, leaf in enumerate(tree.leaves):
            numbers.setdefault(id(leaf), number)
        names: dict[int, list[str]] = {}
        for part in listed:
            for word, leaf in part.arrays:
                names.setdefault(numbers[id(leaf)], []).append(f"{part.name}.{word}" if part.name else word)
        return cls(tree, numbers, names)


def _layer(part: _Part, known: _Known) -> LayerInfo:
    arrays = tuple(_array(part.name, word, leaf, known) for word, leaf in part.arrays)
    cls = class_name(type(part.node))
    stated = find(map(class_name, type(part.node).__mro__))
    if stated is not None:
        return describe(LayerInfo(part.name, cls, stated, "stated", arrays), lambda path: _attribute(part.node, path))
    shapes = {array.name: array.shape for array in arrays}
    kind = _suggested(part.name, shapes)
    if kind is None and (lie := _lie(shapes)):
        arrays = tuple(replace(array, name=word) for array, word in zip(arrays, lie.words, strict=True))
        kind = Kind(f"jax.Linear({lie.line})", "linear", {"weight": lie.line, "bias": "neuron"})
    layer = LayerInfo(part.name, cls, kind, "inferred" if kind else "unknown", arrays)
    usual = {"feature_group_count": 1, "groups": 1}
    found = describe(layer, usual.__getitem__)
    return found if kind is None or found.kind is not None else replace(layer, kind=None, known="unknown")


def _array(name: str, word: str, leaf: Any, known: _Known) -> Array:
    path, number = f"{name}.{word}" if name else word, known.numbers[id(leaf)]
    shape = tuple(jax.random.key_data(leaf).shape) if values.is_key(leaf) else tuple(leaf.shape)
    floating = bool(jnp.issubdtype(leaf.dtype, jnp.inexact))
    tied = tuple(other for other in known.names[number] if other != path)
    storage, role = Leaf(known.tree.place(number), path, shape), "parameter" if floating else "buffer"
    return Array(word, path, shape, values.dtype_name(leaf), storage, role, tied, floating)


def _attribute(node: Any, path: str) -> Any:
    value = node
    for part in path.split("."):
        value = getattr(value, part)
    return value


_ORDERS = ("in neuron", "neuron in")


def _suggested(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Kind | None:
    """The kind that the words of a library and shapes suggest, as in a file."""
    word = suggest(name, shapes)
    return find([word]) if word else None


@dataclass(frozen=True)
class _Lie:
    """How the matrix of a part lies, and which word each of its arrays, a matrix and perhaps a bias, is known by."""

    line: str
    words: Sequence[str]


def _lie(shapes: Mapping[str, tuple[int, ...]]) -> _Lie | None:
    """A matrix and a vector of the length of one of its sides are a weighted sum, whatever they are called."""
    wide = [word for word, shape in shapes.items() if len(shape) == 2]
    flat = [word for word, shape in shapes.items() if len(shape) == 1]
    if len(wide) != 1 or len(flat) > 1 or len(wide) + len(flat) != len(shapes):
        return None
    line = _order(wide[0], shapes[wide[0]], shapes[flat[0]][0] if flat else None)
    return _Lie(line, ["weight" if word in wide else "bias" for word in shapes]) if line else None


def _order(word: str, shape: tuple[int, ...], bias: int | None) -> str:
    """Which axis of a matrix is the neurons': that of the bias's length. Of a square one its word says it."""
    fits = [line for line, size in zip(_ORDERS, reversed(shape), strict=True) if bias in (None, size)]
    if len(fits) == 1:
        return fits[0]
    usual = {"w": "in neuron", "weight": "neuron in"}.get(word.lower(), "")
    return usual if usual in fits else ""


class _Still:
    """The library of a tree without a function: nothing of it runs."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def held(self) -> Any:
        return self._tree.held()

    def call(self, x: Any) -> Any:
        raise RunError("a tree of arrays holds weights but cannot run", _HINT)

    def watching(self, names: Any, told: Told) -> AbstractContextManager[None]:
        return nullcontext()

    def part(self, name: str) -> Callable[..., Any]:
        raise RunError(f"{name!r} is a part of a tree of arrays, which cannot run", _HINT)

    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> AbstractContextManager[None]:
        return nullcontext()

    def name_of(self, owner: Any) -> str:
        return ""

    def unchanged(self) -> AbstractContextManager[None]:
        return nullcontext()

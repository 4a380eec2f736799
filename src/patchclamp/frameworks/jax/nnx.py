"""From an nnx module to a `Model`: every module a layer, every variable and array in its place, ties named.

Variables can be written. So an edit changes the network itself, and a restore puts the very arrays back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
from flax import nnx, serialization

from ...arrays import Array
from ...errors import OpenError
from ...frozen import replace
from ...kinds import Kind, class_name, find
from ...model import LayerInfo, Model, describe
from .flax_heads import headed
from .flax_running import FlaxRunner
from .flax_words import reader, refined
from .holding import Leaf
from .keeping import JaxKeeper
from .nnx_made import EFFECTIVE, Made, made
from .nnx_parts import Part, Spot, parts
from .nnx_running import NnxLibrary
from .values import dtype_name, is_key

__all__ = ["handles", "open_model"]


def handles(thing: object) -> bool:
    """Whether this is a module of nnx."""
    return isinstance(thing, nnx.Module)


def open_model(network: Any) -> Model:
    """Describe a live nnx module. Nothing is copied, run or changed.

    Raises OpenError for a network that holds no arrays.
    """
    every = list(parts(network))
    if not any(part.spots for part in every):
        raise OpenError(
            f"{type(network).__name__} holds no arrays",
            "give the module itself, made with its rngs; nnx.split takes it apart and nnx.merge puts it together again",
        )
    ties = _ties(every)
    computed = dict(made(every))
    bare = {part.name: _layer(part, ties, computed.get(part.name)) for part in every}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {part.name: _described(bare[part.name], part.module, arrays) for part in every}
    layers = headed(layers)
    library = NnxLibrary(network, every)
    keeper = JaxKeeper(library.held, tuple(arrays.values()), {".msgpack": _write})
    return Model(type(network).__name__, "flax.nnx", layers, FlaxRunner(library), keeper)


def _write(file: BinaryIO, held: Any) -> None:
    """The pure dict of the network's state as Flax's msgpack, without the state of its random numbers."""
    pure = nnx.to_pure_dict(nnx.state(held, nnx.Not(nnx.RngState)))
    file.write(serialization.to_bytes(pure))


def _ties(every: Sequence[Part]) -> Mapping[Hashable, Sequence[str]]:
    """The paths of each place."""
    found: dict[Hashable, list[str]] = defaultdict(list)
    for part in every:
        for spot in part.spots:
            found[spot.place.identity].append(_path(part, spot))
    return found


def _path(part: Part, spot: Spot) -> str:
    return f"{part.name}.{spot.name}" if part.name else spot.name


def _layer(part: Part, ties: Mapping[Hashable, Sequence[str]], computed: Made | None) -> LayerInfo:
    arrays = (*_computed(computed), *(_array(part, spot, ties) for spot in part.spots))
    cls = type(part.module)
    kind = find(map(class_name, cls.__mro__))
    kind = _kind(kind, part.module, arrays) if kind is not None else None
    known = "stated" if kind else "unknown" if arrays else ""
    return LayerInfo(part.name, class_name(cls), kind, known, arrays)


def _kind(kind: Kind, module: Any, arrays: Sequence[Array]) -> Kind:
    shapes = {array.name: array.shape for array in arrays}
    if EFFECTIVE in shapes and EFFECTIVE not in kind.arrays:
        words = {(EFFECTIVE if word == "kernel" else word): spelled for word, spelled in kind.words.items()}
        lines = {(EFFECTIVE if word == "kernel" else word): line for word, line in kind.arrays.items()}
        kind = replace(kind, arrays=lines, words=words)
    return refined(kind, module, shapes)


def _computed(computed: Made | None) -> Iterator[Array]:
    if computed is not None:
        made_from = computed.sources
        yield Array(EFFECTIVE, computed.path, computed.shape, computed.dtype, computed, "computed", sources=made_from)


def _array(part: Part, spot: Spot, ties: Mapping[Hashable, Sequence[str]]) -> Array:
    value, path = spot.place.get(), _path(part, spot)
    role = "parameter" if isinstance(spot.variable, nnx.Param) else "buffer"
    shape = _shape(value)
    trains = role == "parameter" and bool(jnp.issubdtype(value.dtype, jnp.floating))
    same = tuple(dict.fromkeys(other for other in ties[spot.place.identity] if other != path))
    leaf = Leaf(spot.place, path, shape, _note(spot))
    return Array(spot.name, path, shape, dtype_name(value), leaf, role, same, trains)


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of what is stored: a random key is some whole numbers."""
    return tuple((jax.random.key_data(value) if is_key(value) else value).shape)


def _note(spot: Spot) -> str:
    """What kind of variable holds it, where that is neither a parameter nor a statistic."""
    if spot.variable is None or isinstance(spot.variable, (nnx.Param, nnx.BatchStat)):
        return ""
    return f"held by nnx.{type(spot.variable).__name__}"


def _described(layer: LayerInfo, module: Any, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    shapes = {array.name: array.shape for array in layer.arrays}
    return describe(layer, reader(module, shapes), lambda name: arrays.get(prefix + name))

"""From a linen module and its variables to a `Model`: layers and arrays under the names that Flax's own files have.

The variables are a tree that is never changed: an edit gives a copy, in the form that was opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import serialization

from ...arrays import Array
from ...errors import OpenError
from ...frozen import replace
from ...kinds import Kind, class_name, find
from ...kinds.kernels import suggest
from ...model import NOT_STATED, LayerInfo, Model, describe
from .flax_heads import headed
from .flax_running import FlaxRunner
from .flax_words import reader, refined
from .holding import Leaf, Tree
from .keeping import JaxKeeper
from .linen_classes import Path, classes
from .linen_form import Form, form_of, handles
from .linen_guessed import Guessed
from .linen_running import LinenLibrary
from .values import dtype_name, is_array, is_key

__all__ = ["handles", "open_model"]

_PARAMS, _STATISTICS = "params", "batch_stats"


@dataclass(frozen=True)
class Stored:
    """One array: its collection, the path of the module that holds it, its own name, and its number in the tree."""

    collection: str
    path: Path
    name: str
    number: int

    @property
    def keys(self) -> Path:
        return (self.collection, *self.path, self.name)


def open_model(thing: Any) -> Model:
    """Describe a linen module with its variables: `(module, variables)`, `module.bind(variables)`, a TrainState.

    `(module, variables, x)` runs the module on the shape of `x`, so that every part states its class. Raises OpenError
    for a module without variables, and for an `x` that it does not take.
    """
    form = form_of(thing)
    stored = list(_stored(form.tree))
    if not stored:
        raise OpenError(f"the variables of {type(form.module).__name__} hold no arrays", "give what module.init gave")
    known = classes(form)
    homes = _homes(stored)
    names = _names(form, known, homes)
    groups: dict[str, list[Array]] = defaultdict(list)
    for item in stored:
        groups[homes[item.number]].append(_array(item, homes[item.number], form.tree, homes))
    paths = {name: path for path, name in names.items()}
    bare = {name: _bare(name, tuple(groups[name]), known.get(paths.get(name, ("",)))) for name in _order(names, groups)}
    arrays = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, known.get(paths.get(name, ("",))), arrays) for name, layer in bare.items()}
    library = LinenLibrary(form, known, names, Guessed(layers))
    keeper = JaxKeeper(form.held, tuple(arrays.values()), {".msgpack": _write})
    aliases = _aliases(layers)
    source = type(form.module).__name__
    return Model(source, "flax.linen", headed(layers), FlaxRunner(library), keeper, aliases)


def _write(file: BinaryIO, held: Any) -> None:
    """Flax's own msgpack file of the variables, or of the whole training state."""
    if isinstance(held, nn.Module):
        held = held.variables
    file.write(serialization.to_bytes(held[1] if isinstance(held, tuple) else held))


def _stored(tree: Tree) -> Iterator[Stored]:
    """Every array of the variables. What Flax puts around an array (`nn.Partitioned`) is no part of its name."""
    found = []
    for number, path in enumerate(tree.paths()):
        if is_array(tree.leaves[number]):
            keys = [_word(key) for key in path if not isinstance(key, jax.tree_util.GetAttrKey)]
            found.append(Stored(keys[0], tuple(keys[1:-1]), keys[-1], number))
    order = {keys: place for place, keys in enumerate(_in_order(tree.original, ()))}
    yield from sorted(found, key=lambda item: order.get(item.keys, len(order)))


def _in_order(tree: Any, keys: Path) -> Iterator[Path]:
    """The paths of the arrays as the variables hold them; JAX itself goes through them by the alphabet."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _in_order(value, (*keys, str(name)))
    else:
        yield keys


def _word(key: Any) -> str:
    return str(next(getattr(key, word) for word in ("key", "idx") if hasattr(key, word)))


def _homes(stored: Sequence[Stored]) -> Mapping[int, str]:
    """The layer of each array, by its number: as in Flax's files, the statistics of a norm belong to the norm."""
    layers = {".".join(item.keys[:-1]) for item in stored}
    plain = {".".join(item.keys) for item in stored}
    found = {}
    for item in stored:
        own, home = ".".join(item.keys[:-1]), ".".join((_PARAMS, *item.path))
        moves = item.collection == _STATISTICS and home in layers and f"{home}.{item.name}" not in plain
        found[item.number] = home if moves else own
    return found


def _names(form: Form, known: Mapping[Path, nn.Module], homes: Mapping[int, str]) -> Mapping[Path, str]:
    """The name of the layer of each module that holds arrays, and of every other that an example has met."""
    prefix = f"{_PARAMS}."
    held = {name: tuple(name.removeprefix(prefix).split(".")) for name in homes.values() if name.startswith(prefix)}
    found = {path: name for name, path in held.items()}
    if _PARAMS in homes.values() or form.example is not None:
        found[()] = _PARAMS
    for path in known:
        if path and (form.example is not None or path in found):
            found.setdefault(path, ".".join((_PARAMS, *path)))
    return found


def _order(names: Mapping[Path, str], groups: Mapping[str, Any]) -> Iterator[str]:
    """Layers with arrays in the order of the variables, the others before what is inside of them."""
    every = [*groups, *(name for name in names.values() if name not in groups)]
    first = {name: min(n for n, one in enumerate(every) if one == name or one.startswith(f"{name}.")) for name in every}
    yield from sorted(every, key=lambda name: (first[name], name.count(".")))


def _array(item: Stored, layer: str, tree: Tree, homes: Mapping[int, str]) -> Array:
    value, path = tree.leaves[item.number], f"{layer}.{item.name}"
    shape = tuple((jax.random.key_data(value) if is_key(value) else value).shape)
    role = "parameter" if item.collection == _PARAMS else "buffer"
    trains = role == "parameter" and bool(jnp.issubdtype(value.dtype, jnp.floating))
    names = {number: one for number, one in _paths_of(tree, homes).items() if number in tree.same(item.number)}
    same = tuple(other for number, other in names.items() if number != item.number)
    moved = layer.partition(".")[0] != item.collection
    note = f"in the collection {item.collection!r}" if moved else ""
    leaf = Leaf(tree.place(item.number), path, shape, note)
    return Array(item.name, path, shape, dtype_name(value), leaf, role, same, trains)


def _paths_of(tree: Tree, homes: Mapping[int, str]) -> Mapping[int, str]:
    paths = tree.paths()
    return {number: f"{home}.{_word(paths[number][-1])}" for number, home in homes.items() if tree.same(number)[1:]}


def _bare(name: str, arrays: tuple[Array, ...], module: nn.Module | None) -> LayerInfo:
    shapes = {array.name: array.shape for array in arrays}
    if module is not None:
        kind = find(map(class_name, type(module).__mro__))
        kind = refined(kind, module, shapes) if kind is not None else None
        if isinstance(module, (nn.WeightNorm, nn.SpectralNorm)) and kind is not None:
            kind = replace(kind, apart=dict.fromkeys(shapes, "of the norm around a layer"))
        known = "stated" if kind else "unknown" if arrays else ""
        return LayerInfo(name, class_name(type(module)), kind, known, arrays)
    if not name.startswith(f"{_PARAMS}."):
        return LayerInfo(name, NOT_STATED, _collection(name, arrays), "stated", arrays)
    suggested = suggest(name, shapes)
    kind = find([suggested]) if suggested else None
    return LayerInfo(name, kind.name if kind else NOT_STATED, kind, "inferred" if kind else "unknown", arrays)


def _collection(name: str, arrays: Sequence[Array]) -> Kind:
    """What a module keeps beside its parameters: no neuron's."""
    first = name.partition(".")[0]
    return Kind(f"flax.core.{first}", "", {}, apart={array.name: f"in the collection {first!r}" for array in arrays})


def _described(layer: LayerInfo, module: nn.Module | None, arrays: Mapping[str, Array]) -> LayerInfo:
    shapes = {array.name: array.shape for array in layer.arrays}
    if module is not None:
        read = reader(module, shapes)
    else:
        usual = {"feature_group_count": 1, **{f"{word}.shape": shape for word, shape in shapes.items()}}
        read = usual.__getitem__
    prefix = f"{layer.name}."
    found = describe(layer, read, lambda name: arrays.get(prefix + name))
    return replace(found, class_name=NOT_STATED) if module is None and found.kind is None else found


def _aliases(layers: Mapping[str, LayerInfo]) -> dict[str, str]:
    """Shorter and slashed names: `Dense_0` and `params/Dense_0` for `params.Dense_0`."""
    found: dict[str, str] = {}
    for name in layers:
        first, _, rest = name.partition(".")
        shorter = (rest, rest.replace(".", "/")) if first in (_PARAMS, _STATISTICS) else ()
        for short in (name.replace(".", "/"), *shorter):
            if short and short not in layers:
                found.setdefault(short, name)
    return found

"""From a live tf.Module, or what `tf.saved_model.load` gave, to a `Model`: every variable in its place, ties named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from ...arrays import Array
from ...errors import OpenError
from ...kinds import find
from ...kinds.tensorflow import called
from ...model import NOT_STATED, LayerInfo, Model, describe
from ...views import with_views
from .graph import Graph, Use, read_by
from .keeping import TensorFlowKeeper
from .modules import ModuleRunner
from .saved import SavedRunner, main_function
from .storage import Slot, dtype_name, shape_of
from .tree import Part, is_loaded, parts_of, saved_names

__all__ = ["handles", "open_model"]


def handles(thing: object) -> bool:
    """Whether this is a tf.Module, what `tf.saved_model.load` gave, or another object that TensorFlow tracks."""
    return isinstance(thing, (tf.Module, tf.__internal__.tracking.AutoTrackable))


def open_model(thing: Any) -> Model:
    """Describe a live network. Nothing is copied, changed or run.

    The kind of a tf.Module is that of its class, which `patchclamp.register` describes. A loaded SavedModel has graphs
    in place of classes: a layer's kind is then the operation that reads its arrays. OpenError without variables.
    """
    parts = parts_of(thing)
    if not any(part.variables for part in parts):
        raise OpenError(f"this {type(thing).__name__} has no variables yet", "call it once first, if that makes them")
    return _open_loaded(thing, parts) if is_loaded(thing) else _open_module(thing, parts)


def _open_module(root: Any, parts: Sequence[Part]) -> Model:
    held = {part.name: {word: (part.path(word), one) for word, one in part.variables.items()} for part in parts}
    arrays = _arrays(held)
    things = {part.name: part.thing for part in parts}
    bare = {name: _layer(name, things[name], arrays[name]) for name in held}
    every = {array.path: array for layer in bare.values() for array in layer.arrays}
    layers = {name: _described(layer, things[name], every) for name, layer in bare.items()}
    layers = dict(with_views(layers, lambda name, path: _attribute(things[name], path)))
    keeper = TensorFlowKeeper(root, list(every.values()))
    runner = ModuleRunner(root, parts)
    return Model(type(root).__name__, "tensorflow", layers, runner, keeper, _aliases(parts, layers))


def _described(layer: LayerInfo, thing: Any, every: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    return describe(layer, lambda path: _attribute(thing, path), lambda word: every.get(prefix + word))


def _layer(name: str, thing: Any, arrays: tuple[Array, ...]) -> LayerInfo:
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(thing).__mro__]
    kind = find(names)
    how = "stated" if kind else "unknown" if arrays else ""
    return LayerInfo(name, names[0], kind, how, arrays)


def _aliases(parts: Sequence[Part], layers: Mapping[str, LayerInfo]) -> dict[str, str]:
    """Other names of layers: every path to the object that holds its variables, and what these call it."""
    owner = {_variable(array).ref(): layer.name for layer in layers.values() for array in layer.arrays}
    found: dict[str, str] = {}
    for part in parts:
        refs = [one.ref() for one in part.variables.values()]
        held = {owner[ref] for ref in refs if ref in owner}
        names = {ref.deref().name.rpartition("/")[0].replace("/", ".") for ref in refs}
        if len(held) == 1:
            for other in (part.name, *part.others, *(names if len(names) == 1 else ())):
                if other and other not in layers:
                    found.setdefault(other, next(iter(held)))
    return found


def _open_loaded(root: Any, parts: Sequence[Part]) -> Model:
    names, left = saved_names(parts)
    held: dict[str, dict[str, tuple[str, Any]]] = {}
    for ref, path in names.items():
        layer, _, word = path.rpartition(".")
        held.setdefault(layer, {})[word] = path, ref.deref()
    arrays = _arrays(held)
    name, function = main_function(root)
    graph = None if function is None else Graph(function)
    uses, silent = _uses(graph, arrays)
    layers = {layer: _operation(layer, arrays[layer], uses.get(layer), silent.get(layer, "")) for layer in held}
    every = [array for layer in layers.values() for array in layer.arrays]
    runner = SavedRunner(graph, uses, silent, [_variable(array) for array in every])
    notes = [f"it runs as its graph {name!r}" if graph else "it has no graph that runs"]
    if left:
        notes.append(f"{len(left)} variables of optimizers, metrics and counters left out: {left[0]!r}, ...")
    return Model(
        "SavedModel", "tensorflow", layers, runner, TensorFlowKeeper(root, every), _aliases(parts, layers), tuple(notes)
    )


def _uses(
    graph: Graph | None, arrays: Mapping[str, Sequence[Array]]
) -> tuple[dict[str, Sequence[Use]], dict[str, str]]:
    """What the graph does with the arrays of each layer; and of the other layers, why that is not known."""
    if graph is None:
        return {}, {}
    captured = {id(handle): place for place, handle in enumerate(graph.function.captured_inputs)}
    feeds = graph.resources()
    uses: dict[str, Sequence[Use]] = {}
    silent: dict[str, str] = {}
    for layer, held in arrays.items():
        places = {number: captured.get(id(_variable(array).handle)) for number, array in enumerate(held)}
        found, why = read_by(graph, {number: feeds[place] for number, place in places.items() if place is not None})
        if found:
            uses[layer] = found
        elif why:
            silent[layer] = why
    return uses, silent


def _operation(name: str, arrays: tuple[Array, ...], uses: Sequence[Use] | None, why: str) -> LayerInfo:
    """A layer by the operation that reads its weight."""
    if not uses:
        return LayerInfo(name, NOT_STATED, None, "unknown", arrays, problem=why)
    use = uses[0]
    words = tuple("" if number is None else arrays[number].name for number in use.arrays)
    kind = find([called(use.op, words, use.turned)])
    if kind is None:
        return LayerInfo(name, NOT_STATED, None, "unknown", arrays, problem=why)
    stated = {**use.config, **{f"{array.name}.shape": array.shape for array in arrays}}
    layer = describe(LayerInfo(name, kind.name, kind, "stated", arrays), stated.__getitem__)
    return layer if layer.kind is not None else replace(layer, class_name=NOT_STATED)


def _arrays(held: Mapping[str, Mapping[str, tuple[str, Any]]]) -> dict[str, tuple[Array, ...]]:
    """The arrays of each layer, from its words with path and variable."""
    same: dict[Any, list[str]] = defaultdict(list)
    for words in held.values():
        for path, variable in words.values():
            same[variable.ref()].append(path)
    return {layer: tuple(_array(word, *one, same) for word, one in words.items()) for layer, words in held.items()}


def _array(word: str, path: str, variable: Any, same: Mapping[Any, Iterable[str]]) -> Array:
    return Array(
        name=word,
        path=path,
        shape=shape_of(variable),
        dtype=dtype_name(variable.dtype),
        storage=Slot(variable, path),
        role="parameter" if variable.trainable else "buffer",
        tied=tuple(other for other in same[variable.ref()] if other != path),
        trainable=bool(variable.trainable),
    )


def _variable(array: Array) -> Any:
    storage: Any = array.storage
    return storage.variable


def _attribute(thing: Any, path: str) -> Any:
    value: Any = thing
    for part in path.split("."):
        value = getattr(value, part)
    return value

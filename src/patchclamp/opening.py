"""Which adapter takes this object or path, and which class tree a folder's config.json speaks of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from .arrays import Array
from .errors import FileError, OpenError
from .files._handle import path_text
from .files.opening import model_of, open_stored
from .files.source import Source, read_all
from .files.stored import Stored
from .frozen import replace
from .model import LayerInfo, Model

__all__ = ["is_network", "open_any"]

_ADAPTERS = {
    "keras": "patchclamp.frameworks.keras.opening",
    "torch": "patchclamp.frameworks.torch.opening",
    "tensorflow": "patchclamp.frameworks.tensorflow.opening",
    "flax": "patchclamp.frameworks.jax.flax",
    "equinox": "patchclamp.frameworks.jax.equinox",
    "jax": "patchclamp.frameworks.jax.trees",
}
"""Framework -> its adapter, which is imported only if the framework is. With torch beneath it a Keras layer is also a
torch module, so Keras is asked first."""
_TREE = "patchclamp.frameworks.torch.tree"
_ONNX = "patchclamp.frameworks.onnx.opening"
_COMPOSED = "patchclamp.files.composed"
_NAMING = "patchclamp.files.naming"
_RENAMED = "patchclamp.files.renamed"
"""Imported for a file beside a config.json, where its classes are to be looked at."""
TREES = "transformers"
"""The library that says which layers a config.json stands for; looked at only if imported, or asked for."""
CONFIG = "config.json"
CONFIG_MOST = 4 << 20
_STATES = "patchclamp.layers"
_FORMATS = ("safetensors", "sharded", "pytorch")
"""The formats in which arrays are named as transformers names them."""


def open_any(thing: Any, tree: bool | None = None) -> Model:
    """Describe a live network or a file. Raises OpenError for anything else, FileError for a bad file.

    `tree` says whether the layers of a file are those of the class that the config.json beside it names: True imports
    transformers for it, None uses it if it is imported and the path is a folder, False never does.
    """
    if isinstance(thing, (str, os.PathLike)):
        return _open_file(path_text(thing), tree)
    adapter = _adapter(thing)
    if adapter is not None:
        model: Model = adapter.open_model(thing)
        return model
    shown = type(thing).__name__ if not isinstance(thing, type) else f"the class {thing.__name__}"
    hint = "give a network of a framework that is imported (torch.nn.Module, keras.Model, ...), or a file or folder"
    if isinstance(thing, dict):
        hint = "load tensors into their model, or save them as .safetensors; a tree of JAX arrays opens as it is"
    elif isinstance(thing, tuple):
        hint = "give the network alone; of flax.linen (module, variables), of a function (function, arrays)"
    elif callable(thing):
        hint = "give the module inside, not a function that was made of it (jit, vmap, tf.function)"
    raise OpenError(f"cannot open {shown} as a network", hint)


def is_network(thing: Any) -> bool:
    """Whether this is a live network of a framework that is imported."""
    return _adapter(thing) is not None


def _adapter(thing: Any) -> Any:
    """The adapter that takes this object; None if none does."""
    adapters = (import_module(name) for framework, name in _ADAPTERS.items() if framework in sys.modules)
    return next((adapter for adapter in adapters if adapter.handles(thing)), None)


def _open_file(path: str, tree: bool | None) -> Model:
    stored = open_stored(path)
    if stored.format == "ONNX" and not tree:
        graph = (stored.runs, stored.windows)
        found: Model = import_module(_ONNX).attached(model_of(stored), stored.sources[0], stored.arrays, graph)
        return found
    if tree is False or (tree is None and not _by_itself(path, stored)):
        return model_of(stored)
    try:
        return _with_tree(stored)
    except FileError as error:
        if tree:
            stored.close()
            raise
        return _noted(model_of(stored), f"kinds are not taken from {CONFIG}: {error.reason}")


def _by_itself(path: str, stored: Stored) -> bool:
    """Whether a folder's class tree is looked at without being asked for."""
    if TREES not in sys.modules or stored.says or _STATES in stored.metadata:
        return False
    named = stored.format.lower().startswith(_FORMATS)
    return named and os.path.isfile(os.path.join(os.path.dirname(stored.path), CONFIG)) and os.path.isdir(path)


def _with_tree(stored: Stored) -> Model:
    """The network of a file by the class that config.json names. FileError where that cannot be had."""
    config = _config(stored)
    arrays = list(stored.arrays)
    try:
        adapter = import_module(_TREE)
    except ImportError as error:
        reason = f"its {CONFIG} is read with torch and {TREES}, which cannot be imported: {error}"
        raise FileError(
            stored.path, reason, hint="pip install torch transformers, or open it with tree=False"
        ) from error
    try:
        found = adapter.described(config, arrays, import_module(_COMPOSED))
    except adapter.NotBuilt as error:
        reason = f"its {CONFIG} stands for no class tree: {error}"
        raise FileError(stored.path, reason, hint="open it with tree=False; kinds are inferred then") from error
    layers = _with_others(found.layers, found.left, arrays)
    keeper = import_module(_RENAMED).keeper_of(stored, layers)
    notes = (*(note for note in stored.notes if CONFIG not in note), *found.notes)
    aliases = {**stored.aliases, **found.aliases}
    return Model(stored.path, stored.format, layers, None, keeper, aliases, notes)


def _config(stored: Stored) -> Mapping[str, Any]:
    """What the config.json beside a file says. FileError where there is none, or it is no JSON object."""
    first: Source = stored.sources[0]
    beside = first.sibling(CONFIG)
    try:
        raw = read_all(beside, CONFIG_MOST, "the config")
    finally:
        beside.close()
    try:
        config: Any = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise FileError(beside.path, "it is not JSON", hint="download it again, or open with tree=False") from error
    if not isinstance(config, dict):
        raise FileError(beside.path, "it is no JSON object", hint="download it again, or open with tree=False")
    return config


def _with_others(
    live: Mapping[str, LayerInfo], left: Sequence[Array], arrays: Iterable[Array]
) -> Mapping[str, LayerInfo]:
    """The layers of a class tree with the arrays of the file that it does not have.

    A layer of which the file holds an array in another shape than the tree is described by the file alone.
    """
    layers = dict(live)
    layers_of = import_module(_NAMING).layers_of
    own: dict[str, list[Array]] = {}
    for array in arrays:
        own.setdefault(array.name.rpartition(".")[0], []).append(array)
    for name, other in dict(layers_of(left, {})).items():
        here = layers.get(name)
        if here is None:
            layers[name] = other
        elif {array.path for array in here.arrays}.isdisjoint(array.path for array in other.arrays):
            layers[name] = replace(here, arrays=(*here.arrays, *other.arrays))
        else:
            layers[name] = layers_of(own[name], {})[name]
    return layers


def _noted(model: Model, note: str) -> Model:
    return replace(model, notes=(*(one for one in model.notes if CONFIG not in one), note))

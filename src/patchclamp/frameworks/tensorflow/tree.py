"""What a tf.Module or a loaded SavedModel holds: every variable once, under the path of attributes that leads to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

__all__ = ["Part", "is_loaded", "parts_of", "saved_names"]

_OWN = "_self_"
"""What TensorFlow's own attributes begin with."""
_AGAIN = "_all_variables"
"""Where a network that Keras 3 exported holds a second copy of every variable, which nothing reads."""

_STATE = frozenset({"optimizer", "keras_api", "save_counter"})
"""What optimizers, metrics and counters are called."""


@dataclass(frozen=True)
class Part:
    """An object by its path in the network, the variables that it holds itself, and its other paths."""

    name: str
    thing: Any
    variables: Mapping[str, Any]
    others: Sequence[str] = ()

    def path(self, word: str) -> str:
        return f"{self.name}.{word}" if self.name else word


def is_loaded(thing: Any) -> bool:
    """Whether `tf.saved_model.load` gave it: its functions are graphs, and its classes have no code."""
    return not isinstance(thing, tf.Module) and isinstance(getattr(thing, "signatures", None), Mapping)


def parts_of(root: Any) -> list[Part]:
    """The network itself, its modules, and what else holds variables, each once and in the order of attributes.

    The name is the shortest path, as in TensorFlow's own checkpoints.
    """
    names = _paths(root)
    found: list[Part] = []
    for thing in _walk(root, root, set()):
        held = {word: child for word, child in _children(root, thing).items() if isinstance(child, tf.Variable)}
        if held or isinstance(thing, tf.Module) or thing is root:
            found.append(Part(names[id(thing)][0], thing, held, names[id(thing)][1:]))
    return found


def _paths(root: Any) -> dict[int, list[str]]:
    """The paths to every object, by its id, the shortest first."""
    found: dict[int, list[str]] = {id(root): [""]}
    waiting = [("", root)]
    for name, thing in waiting:
        for word, child in _children(root, thing).items():
            if isinstance(child, tf.Variable):
                continue
            path = f"{name}.{word}" if name else word
            if id(child) not in found:
                waiting.append((path, child))
            found.setdefault(id(child), []).append(path)
    return found


def _walk(root: Any, thing: Any, known: set[int]) -> Iterator[Any]:
    """Every object once, depth first."""
    if id(thing) in known:
        return
    known.add(id(thing))
    yield thing
    for child in _children(root, thing).values():
        if not isinstance(child, tf.Variable):
            yield from _walk(root, child, known)


def _children(root: Any, thing: Any) -> dict[str, Any]:
    """What an object holds under a name: variables, modules, lists and dicts of these."""
    try:
        children: Mapping[str, Any] = tf.train.TrackableView(root).children(thing)
    except ValueError:  # a list that was changed in a way that checkpoints cannot follow, or a dict without names
        children = _items(thing)
    kept = {word: one for word, one in children.items() if not word.startswith(_OWN) and not _is_function(one)}
    return dict(_unwrapped(word, one) for word, one in kept.items())


def _unwrapped(word: str, child: Any) -> tuple[str, Any]:
    """A variable of Keras as the one that it wraps, under the name that Keras gives it."""
    inner = getattr(child, "value", None)
    if isinstance(child, tf.Variable) or not isinstance(inner, tf.Variable):
        return word, child
    return str(child.name), inner


def _items(thing: Any) -> dict[str, Any]:
    pairs = thing.items() if isinstance(thing, Mapping) else enumerate(thing)
    return {str(word): child for word, child in pairs if isinstance(child, (tf.Variable, tf.Module, list, tuple, dict))}


def _is_function(thing: Any) -> bool:
    types = tf.types.experimental
    return isinstance(thing, (types.PolymorphicFunction, types.ConcreteFunction)) or type(thing).__name__ == (
        "_SignatureMap"
    )


def saved_names(parts: Sequence[Part]) -> tuple[dict[Any, str], list[str]]:
    """Variable -> its path, for a loaded SavedModel: as the reader of its file calls it; and the paths of what is left
    out, which trains or measures the network.

    The path is the variable's own name where these tell all variables apart, without what all of them begin with; else
    the path of attributes.
    """
    paths: dict[Any, str] = {}
    for part in parts:
        for word, variable in part.variables.items():
            paths.setdefault(variable.ref(), part.path(word))
    left = [path for path in paths.values() if any(map(_is_state, path.split(".")))]
    own = {ref: ref.deref().name.removesuffix(":0") for ref, path in paths.items() if path not in left}
    many = Counter(own.values())
    own = {ref: name for ref, name in own.items() if not (paths[ref].startswith(_AGAIN) and many[name] > 1)}
    return {ref: path.replace("/", ".") for ref, path in _told_apart(own, paths).items()}, left


def _is_state(word: str) -> bool:
    return word in _STATE or word.endswith("_optimizer")


def _told_apart(own: dict[Any, str], paths: Mapping[Any, str]) -> dict[Any, str]:
    if not own or not all("/" in name for name in own.values()) or len(set(own.values())) < len(own):
        return {ref: paths[ref] for ref in own}
    first = {name.partition("/")[0] for name in own.values()}
    if len(first) == 1 and all(name.count("/") > 1 for name in own.values()):
        return {ref: name.partition("/")[2] for ref, name in own.items()}
    return own

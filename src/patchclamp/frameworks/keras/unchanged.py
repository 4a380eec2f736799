"""Run a Keras network and leave it as it was, on every backend, also after an exception or an interrupt."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from operator import is_
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from ...errors import RunError
from ..surely import surely

__all__ = ["every_layer", "left_alone", "put", "running", "under"]

_ABSENT = object()
_BACKENDS = ("torch", "jax", "tensorflow")
_GLOBAL = ("current_call_ctx", "traceback_filtering", "global_seed_generator")
"""What Keras keeps for the whole thread and a run may change."""


def under() -> Any:
    """What patchclamp knows of the framework that Keras computes with. RunError for one that it does not know."""
    name = keras.config.backend()
    if name not in _BACKENDS:
        known = ", ".join(_BACKENDS)
        raise RunError(
            f"Keras runs on its {name} backend, whose runs cannot be watched",
            f"set KERAS_BACKEND to one of {known} before keras is imported",
        )
    return import_module(f"...{name}.under_keras", __name__)


def every_layer(model: Any) -> list[Any]:
    """A network and all the layers that it holds, each once."""
    return list({id(layer): layer for layer in model._flatten_layers()}.values())


@contextmanager
def put(thing: Any, attributes: Mapping[str, Any]) -> Iterator[None]:
    """While this holds an object has these attributes of its own; Keras and its backend, which track attributes, do not
    see it."""
    own = vars(thing)
    before = {name: own.get(name, _ABSENT) for name in attributes}

    def restore() -> None:
        for name, value in before.items():
            if value is _ABSENT:
                own.pop(name, None)
            else:
                own[name] = value

    try:
        own.update(attributes)
        yield
    finally:
        surely(restore)


@contextmanager
def left_alone(layers: Sequence[Any]) -> Iterator[None]:
    """Put back afterwards what layers have in their attributes and containers, and Keras' settings of the thread."""
    before = _Before(layers)
    try:
        yield
    finally:
        surely(before.restore)


_ONE = threading.RLock()
"""Runs put wrappers on layers and settings on Keras; those of two threads would take each other's away."""


@contextmanager
def running(model: Any) -> Iterator[None]:
    """Put back what a run may change.

    No Keras variable is written: within a `keras.StatelessScope` what a run assigns (moving statistics, the states of
    random generators and of stateful layers) is seen by that run alone. Losses and whatever else layers keep in their
    attributes, lists, dicts and sets are put back after it, as are the random states of Python and NumPy. Not seen:
    objects that are no layers, and what lies deeper in nested containers.

    What fails is said as it is raised: Keras does not rewrite messages meanwhile. Raises RunError where a layer would
    first make its weights.
    """
    layers = every_layer(model)
    scope = keras.StatelessScope(initialize_variables=False)
    with _ONE, left_alone(layers), under().leaving(model, layers), scope, _built(layers):
        keras.config.disable_traceback_filtering()
        yield


class _Before:
    """What layers and settings were."""

    def __init__(self, layers: Sequence[Any]) -> None:
        values = {id(value): value for layer in layers for value in (one._value for one in layer.variables)}
        noting = [value for value in values.values() if hasattr(value, "__dict__")]  # TensorFlow's: that they were read
        self.attributes = [_Attributes(vars(thing)) for thing in (*layers, *noting)]
        self.globals = {name: global_state.get_global_attribute(name) for name in _GLOBAL}
        self.random = random.getstate(), np.random.get_state()

    def restore(self) -> None:
        """Put all of it back; done twice it does the same."""
        for one in self.attributes:
            one.restore()
        for name, value in self.globals.items():
            if value is None:
                vars(global_state.GLOBAL_STATE_TRACKER).pop(name, None)
            else:
                global_state.set_global_attribute(name, value)
        random.setstate(self.random[0])
        np.random.set_state(self.random[1])


class _Attributes:
    """The attributes of one layer, and what its lists, dicts and sets hold."""

    def __init__(self, now: dict[str, Any]) -> None:
        self.before = [(now, now.copy()), *((c, _plain(c).copy(c)) for c in now.values() if _plain(c) is not None)]

    def restore(self) -> None:
        for now, before in self.before:
            if not _same(now, before):
                plain = _plain(now)  # past the methods of Keras' own lists, which track what is put into them
                plain.clear(now)
                (plain.extend if plain in (list, deque) else plain.update)(now, before)


def _plain(value: Any) -> Any:
    """The built-in class of a container; None for anything else, also for what only passes for one."""
    return next((kind for kind in (OrderedDict, dict, list, set, deque) if issubclass(type(value), kind)), None)


def _same(now: Any, before: Any) -> bool:
    """Whether a container holds the very things it held, in their order."""
    if isinstance(now, set):
        return len(now) == len(before) and {*map(id, now)} == {*map(id, before)}
    if isinstance(now, dict):
        return len(now) == len(before) and all(
            name is other and value is kept
            for (name, value), (other, kept) in zip(dict.items(now), before.items(), strict=True)
        )
    return len(now) == len(before) and all(map(is_, list(now), list(before)))


@contextmanager
def _built(layers: Iterable[Any]) -> Iterator[None]:
    """Layers that have no weights yet refuse to make them in a run, which would leave the network another one."""
    with ExitStack() as stack:
        for layer in layers:
            if not layer.built and type(layer).build is not keras.layers.Layer.build:
                stack.enter_context(put(layer, {"build": _refusal(layer)}))
        yield


def _refusal(layer: Any) -> Callable[..., Any]:
    def build(*args: Any, **kwargs: Any) -> Any:
        raise RunError(
            f"layer {layer.name!r} ({type(layer).__name__}) is not built: it has no weights yet, and a run would make "
            "them",
            "call the network once on an input, then open it again",
        )

    return build

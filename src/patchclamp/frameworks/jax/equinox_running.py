"""Run an equinox network and tell of its layers: classes with `__call__`, recognised by the arrays they hold."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...attended import Attended, Wanted
from ...errors import RunError
from . import values
from .holding import Tree
from .modules import Modules, parts
from .running import Told, called
from .seen_attention import attending
from .watching import definer, hearing

__all__ = ["EquinoxNetwork", "overrides", "speaks"]


class EquinoxNetwork:
    """The library protocol of `running` for equinox modules: classes with `__call__`, recognised by their arrays."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._modules: Modules | None = None
        self._of: Any = None

    def held(self) -> Any:
        return self.tree.held()

    def modules(self) -> Modules:
        """The modules of what is held now."""
        held = self.held()
        if self._modules is None or self._of is not held:
            model, state = held if isinstance(held, tuple) else (held, None)
            self._modules, self._of = Modules.of(model, state), held
        return self._modules

    def call(self, x: Any) -> Any:
        """The model on its arguments; with a state that is held too, the state comes after them.

        A function as input is given the model, and the state where that is held.
        """
        held = self.held()
        if not isinstance(held, tuple):
            return called(held, _again(x))
        model, state = held[0], _again(held[1])
        if callable(x) and not hasattr(x, "shape"):
            return x(model, state)
        if isinstance(x, Mapping):
            return called(model, {**x, "state": state})
        return called(model, (*x, state) if isinstance(x, tuple) and not hasattr(x, "_fields") else (x, state))

    def watching(self, names: Iterable[str], told: Told) -> AbstractContextManager[None]:
        modules, wanted = self.modules(), set(names)
        methods = set()
        for name in wanted:
            cls = definer(type(modules.modules[name]))
            if cls is not None:
                methods.add((cls, "__call__"))

        def heard(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractContextManager[Any] | None:
            name = modules.name_of(module)
            if name is None or name not in wanted:
                return None
            return _told(told, name, module, args, kwargs)

        return hearing(methods, heard)

    def part(self, name: str) -> Callable[..., Any]:
        module = self.modules().modules[name]
        if not callable(module):
            raise RunError(f"layer {name!r} ({type(module).__name__}) is not called, so it cannot run alone")
        return module  # type: ignore[no-any-return]

    def attention(self, found: list[Attended | None], wanted: Wanted | None) -> AbstractContextManager[None]:
        return attending(found, wanted)

    def name_of(self, owner: Any) -> str:
        return self.modules().by_id.get(id(owner), "")

    def unchanged(self) -> AbstractContextManager[None]:
        """Nothing of a module changes as it runs."""
        return nullcontext()


def _again(x: Any) -> Any:
    """The same, with copies of states: a state is of no use any more once a run has set it."""
    if isinstance(x, eqx.nn.State):
        return jax.tree_util.tree_map(lambda leaf: leaf, x)
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return tuple(map(_again, x))
    return {name: _again(item) for name, item in x.items()} if isinstance(x, Mapping) else x


@contextmanager
def _told(
    told: Told, name: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Callable[[Any], None]]:
    """A call told of, with the axes that the layer itself adds at once and takes off at the end."""
    inner = speaks(module)
    if isinstance(inner, (eqx.nn.LSTMCell, eqx.nn.GRUCell)):
        args, kwargs, leaving = _states(args, kwargs)
        entering: Lift = None
    else:
        entering, leaving = _axes(inner, args[0] if args else None)
    if entering is not None and args:
        args = (entering(args[0]), *args[1:])
    method = types.MethodType(_own(type(module)), module)
    with told(name, method, args, kwargs, _facts(module, args, kwargs)) as left:
        yield left if leaving is None else lambda value: left(leaving(value))


def _own(cls: type) -> Any:
    method = vars(definer(cls) or cls).get("__call__")
    return getattr(method, "__wrapped__", method)


Lift: TypeAlias = Callable[[Any], Any] | None
_MAPS = (eqx.nn.Conv, eqx.nn.ConvTranspose, eqx.nn.BatchNorm, eqx.nn.GroupNorm, eqx.nn.PReLU)
"""Layers with channels and a map. Axes that vmap maps more than once are told as one batch, the outermost first."""
_ANY = (eqx.nn.BatchNorm, eqx.nn.GroupNorm, eqx.nn.PReLU)
"""Those whose map may have any number of axes: one example is told as a batch of one."""


def _axes(module: Any, x: Any) -> tuple[Lift, Lift]:
    """What is to be done to an input and an output so that their axes can be told."""
    if isinstance(module, eqx.nn.Linear):
        inner = _last if module.in_features == "scalar" else None
        outer = _last if module.out_features == "scalar" else None
        return inner, outer
    depth = values.mapped(x)
    if isinstance(module, _MAPS) and (depth > 1 or (not depth and isinstance(module, _ANY))):
        batch = functools.partial(_batch, depth)
        return batch, batch
    return None, None


def _states(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], Lift]:
    """What enters a cell, input and states alike with the batch that vmap maps over any of them.

    A first state that is the same for every example is repeated for each. The third is done to what leaves.
    """
    every = jax.tree_util.tree_leaves((args, kwargs))
    deepest = max(every, key=values.mapped, default=None)
    depth = values.mapped(deepest)
    if not depth:
        return args, kwargs, None
    sizes = values.unwrapped(deepest).shape[:depth]

    def whole(value: Any) -> Any:
        found = jnp.asarray(values.unwrapped(value))
        if not values.mapped(value):
            found = jnp.broadcast_to(found, (*sizes, *found.shape))
        return found.reshape(math.prod(sizes), *found.shape[depth:])

    lifted_args, lifted = jax.tree_util.tree_map(whole, (args, kwargs))
    return lifted_args, lifted, lambda value: jax.tree_util.tree_map(functools.partial(_batch, depth), value)


def _last(value: Any) -> Any:
    return jnp.asarray(values.unwrapped(value))[..., None]


def _batch(depth: int, value: Any) -> Any:
    """An array with its first axes as one; of what a layer with a state gives the first."""
    if isinstance(value, tuple):
        return (_batch(depth, value[0]), *value[1:])
    found = jnp.asarray(values.unwrapped(value))
    return found.reshape(math.prod(found.shape[:depth]), *found.shape[depth:])


def _facts(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a probe is told of a layer beside its inputs."""
    asked = kwargs.get("inference")
    training = _training(module) if asked is None else not bool(asked)
    found: dict[str, Any] = {"training": training}
    if isinstance(module, eqx.nn.BatchNorm):
        state = kwargs.get("state", args[1] if len(args) > 1 else None)
        if isinstance(state, eqx.nn.State):
            found["during"] = lambda: _running(module, state)
        if training and module.mode == "ema":
            found["opaque"] = "in training it mixes the statistics of the batch with those that it keeps"
    if training and isinstance(module, eqx.nn.SpectralNorm):
        found["opaque"] = "in training its power iteration changes the vectors that it divides by"
    if overrides(module):
        found["opaque"] = f"{type(module).__qualname__} has a __call__ of its own"
    return found


def _training(module: Any) -> bool:
    """Whether the layer or any part of it is in training: what `equinox.nn.inference_mode` turns off."""
    said = (getattr(part.module, "inference", None) for part in parts(module))
    return not all(word for word in said if isinstance(word, (bool, np.bool_)))


def _running(module: eqx.nn.BatchNorm, state: Any) -> dict[str, Any]:
    """The statistics of a batch norm by the names of its arrays, as a state holds them."""
    index = module.ema_state_index if module.mode == "ema" else module.batch_state_index
    mean, var = state.get(index)
    if module.mode == "ema":
        return {"ema_state_index.0": mean, "ema_state_index.1": var}
    counter = state.get(module.batch_counter)
    with jax.disable_jit(False):
        scale = jnp.where(counter == 0, 1, 1 - module.momentum**counter)
        return {"running_mean": mean / scale, "running_var": var / scale}


def speaks(module: Any) -> Any:
    """The module whose kind a layer has: that inside a WeightNorm or a SpectralNorm."""
    return module.layer if type(module) in (eqx.nn.WeightNorm, eqx.nn.SpectralNorm) else module


def overrides(module: Any) -> bool:
    """Whether a class of the user's own, made from one of equinox, is called otherwise than that."""
    module = speaks(module)
    first = next((cls for cls in type(module).__mro__ if cls.__module__.startswith("equinox.nn.")), None)
    return first is not None and definer(type(module)) is not definer(first)

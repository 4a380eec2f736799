"""The forms in which a linen module and its variables are held together, and the same form with other variables."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flax import linen as nn
from flax.core import FrozenDict

from ...errors import OpenError
from .holding import Tree
from .values import entering, is_array

__all__ = ["Form", "form_of", "handles"]

_PARAMS = "params"
_OF_STATE = ("step", "apply_fn", "params", "tx", "opt_state")
_HINT = "patchclamp.open((module, variables)), with the variables that module.init gave"


@dataclass(frozen=True)
class Form:
    """What was opened: a module, the tree of its variables (collection -> names -> arrays), and how it was given.

    `example` is an input that says what the module's parts are; None where none was given.
    """

    original: Any
    module: nn.Module
    tree: Tree
    example: Any = None

    @property
    def variables(self) -> Any:
        """The variables as they are now."""
        return self.tree.held()

    def held(self) -> Any:
        """What was opened, or a copy of it with the variables as they are now."""
        now = self.tree.held()
        if now is self.tree.original:
            return self.original
        if isinstance(self.original, tuple):
            return (self.module, now, *self.original[2:])
        if _is_state(self.original):
            return _stated(self.original, now)
        return self.module.bind(now)


def handles(thing: object) -> bool:
    """Whether this is a linen module, alone or with its variables, or a training state."""
    if isinstance(thing, tuple):
        return 1 <= len(thing) <= 3 and isinstance(thing[0], nn.Module)
    return isinstance(thing, nn.Module) or _is_state(thing)


def _is_state(thing: object) -> bool:
    """Whether this is a training state; the module that has its class is not imported for it."""
    cls = getattr(sys.modules.get("flax.training.train_state"), "TrainState", None)
    return cls is not None and isinstance(thing, cls)


def form_of(thing: Any) -> Form:
    """Take apart what was given. Raises OpenError for a module without variables."""
    if _is_state(thing):
        module = getattr(thing.apply_fn, "__self__", None)
        if not isinstance(module, nn.Module):
            raise OpenError("the training state does not say its module: its apply_fn is no method of one", _HINT)
        return Form(thing, module, Tree(_variables(thing)))
    if isinstance(thing, nn.Module):
        if thing.scope is None:
            raise OpenError(f"the linen module {type(thing).__name__} holds no arrays: they are apart from it", _HINT)
        module, variables = thing.unbind()
        return Form(thing, module, Tree(variables))
    if len(thing) == 1:
        raise OpenError(f"the linen module {type(thing[0]).__name__} holds no arrays: they are apart from it", _HINT)
    module, variables = thing[0], thing[1]
    _refuse(module, variables)
    return Form(thing, module, Tree(variables), _example(thing[2]) if len(thing) == 3 else None)


def _example(x: Any) -> Any:
    if isinstance(x, tuple) and not hasattr(x, "_fields"):
        return tuple(map(entering, x))
    if isinstance(x, Mapping):
        return {name: entering(item) for name, item in x.items()}
    return entering(x)


def _refuse(module: nn.Module, variables: Any) -> None:
    """Variables are collections by name; the parameters alone are one of them."""
    name = type(module).__name__
    if not isinstance(variables, (dict, FrozenDict)):
        raise OpenError(f"the variables of {name} are a {type(variables).__name__}, not a dict of collections", _HINT)
    if any(is_array(value) for value in variables.values()) or (
        _PARAMS not in variables and not _collections(variables)
    ):
        raise OpenError(
            f"the variables of {name} have no collection 'params', only {', '.join(map(repr, list(variables)[:4]))}",
            'put parameters into their collection: patchclamp.open((module, {"params": params}))',
        )


def _collections(variables: Mapping[str, Any]) -> bool:
    """Whether every key is the name of a collection that Flax itself uses."""
    return bool(variables) and all(name in ("batch_stats", "cache", "intermediates") for name in variables)


def _variables(state: Any) -> dict[str, Any]:
    """The parameters of a training state, and the collections that a class of one's own keeps beside them."""
    others = {f.name: getattr(state, f.name) for f in fields(state) if f.name not in _OF_STATE}
    found = {name: value for name, value in others.items() if isinstance(value, (dict, FrozenDict))}
    params = state.params
    return {**(params if list(params) == [_PARAMS] else {_PARAMS: params}), **found}


def _stated(state: Any, variables: Mapping[str, Any]) -> Any:
    wrapped = list(state.params) == [_PARAMS]
    params = {_PARAMS: variables[_PARAMS]} if wrapped else variables[_PARAMS]
    return state.replace(params=params, **{name: value for name, value in variables.items() if name != _PARAMS})

"""The modules of an nnx network by their names, the arrays that each holds, and where these stand.

A name is the path of attributes from the network on; items of lists and dicts are named by number or key.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx
from flax.nnx.variablelib import is_array_ref

from .values import is_array

__all__ = ["AttributePlace", "Part", "Spot", "VariablePlace", "parts"]

_OWN = "_pytree__"
_LENGTH = "_length"


@dataclass(frozen=True)
class VariablePlace:
    """An nnx.Variable, or one of the arrays of a tree that it holds."""

    variable: Any
    number: int = 0

    @property
    def identity(self) -> Hashable:
        return (id(self.variable), self.number)

    def get(self) -> Any:
        leaves = jax.tree_util.tree_leaves(_value(self.variable))
        return leaves[self.number] if self.number < len(leaves) else None

    def set(self, value: Any) -> None:
        now = self.variable.get_raw_value()
        if is_array_ref(now):
            now[...] = value
        elif is_array(now):
            self.variable.set_raw_value(value)
        else:
            leaves, structure = jax.tree_util.tree_flatten(now)
            leaves[self.number] = value
            self.variable.set_raw_value(jax.tree_util.tree_unflatten(structure, leaves))


@dataclass(frozen=True)
class AttributePlace:
    """An array that is an attribute of a module, or an item of a dict or a list that it holds."""

    owner: Any
    key: Any

    @property
    def identity(self) -> Hashable:
        return (id(self.owner), self.key)

    def get(self) -> Any:
        return _items(self.owner).get(self.key)

    def set(self, value: Any) -> None:
        if isinstance(self.owner, nnx.Pytree):
            vars(self.owner)[self.key] = value
        else:
            self.owner[self.key] = value


@dataclass(frozen=True)
class Spot:
    """One array of a part: its name from the part on, where it stands, and the class of the variable that holds it."""

    name: str
    place: VariablePlace | AttributePlace
    variable: Any = None


@dataclass(frozen=True)
class Part:
    """One module under one of its names, with the arrays that no module inside holds."""

    name: str
    module: Any
    spots: list[Spot] = field(default_factory=list)


def parts(network: Any) -> Iterator[Part]:
    """Every module under each of its names, in the order of attributes. A module inside itself is not entered again."""
    yield from _walk("", network, ())


def _walk(name: str, module: Any, above: tuple[int, ...]) -> Iterator[Part]:
    part = Part(name, module)
    inside: list[tuple[str, Any]] = []
    _gather(module, "", part, inside)
    yield part
    for key, child in inside:
        if id(child) not in (*above, id(module)):
            yield from _walk(f"{name}.{key}" if name else key, child, (*above, id(module)))


def _gather(owner: Any, prefix: str, part: Part, inside: list[tuple[str, Any]]) -> None:
    """The arrays and the modules of a module, or of a container that it holds."""
    for key, value in _items(owner).items():
        path = prefix + _word(key)
        if isinstance(value, nnx.Variable):
            part.spots.extend(_held(path, value))
        elif isinstance(value, nnx.Pytree):
            inside.append((path, value))
        elif is_array(value) and not isinstance(owner, tuple):
            part.spots.append(Spot(path, AttributePlace(owner, key)))
        elif type(value) in (dict, list, tuple):
            _gather(value, f"{path}.", part, inside)


def _held(path: str, variable: Any) -> Iterator[Spot]:
    """The arrays of a variable: one, or those of the tree that it holds."""
    value = _value(variable)
    if is_array(value):
        yield Spot(path, VariablePlace(variable), variable)
        return
    for number, (keys, leaf) in enumerate(jax.tree_util.tree_flatten_with_path(value)[0]):
        if is_array(leaf):
            inner = ".".join(_word(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in keys)
            yield Spot(f"{path}.{inner}" if inner else path, VariablePlace(variable, number), variable)


def _value(variable: Any) -> Any:
    """What a variable holds, without what hooks make of it."""
    value = variable.get_raw_value()
    return value[...] if is_array_ref(value) else value


def _items(owner: Any) -> Mapping[Any, Any]:
    if isinstance(owner, nnx.Pytree):
        return {key: value for key, value in vars(owner).items() if not key.startswith(_OWN) and key != _LENGTH}
    if isinstance(owner, dict):
        return owner
    return dict(enumerate(owner))


def _word(key: Any) -> str:
    return ".".join(map(str, key)) if isinstance(key, tuple) else str(key)

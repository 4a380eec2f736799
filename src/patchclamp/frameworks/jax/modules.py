"""The modules of an equinox network by name, and which of them an object is that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax

from .holding import path_name
from .values import bare, is_array

__all__ = ["Modules", "Part", "parts"]


@dataclass(frozen=True, eq=False)
class Part:
    """A module, its name, the arrays that it holds itself, and those that a state holds for it."""

    name: str
    module: eqx.Module
    arrays: Sequence[tuple[str, Any]]
    state: Sequence[tuple[str, Any]] = ()


def parts(module: Any, state: Any = None, name: str = "") -> Iterator[Part]:
    """A module and every module in it, each with its name: fields, places in lists and keys of dicts, with dots.

    What an `equinox.nn.Shared` holds is listed as it gives it: with the shared arrays in their places.
    """
    prefix = f"{name}." if name else ""
    inner = _given(module)
    held = jax.tree_util.tree_flatten_with_path(inner, is_leaf=lambda node: node is not inner and _stops(node))[0]
    named = [(path_name(path), value) for path, value in held]
    if inner is not module:
        named = [(f"pytree.{word}", value) for word, value in named]
    below = [(word, value) for word, value in named if isinstance(value, eqx.Module)]
    indices = [(word, value) for word, value in below if isinstance(value, eqx.nn.StateIndex)]
    own = [(word, value) for word, value in named if is_array(value)]
    own += [(f"{word}.{path}", leaf) for word, index in indices for path, leaf in _leaves(index)]
    kept = [
        (f"{word}.{path}" if path else word, leaf)
        for word, index in indices
        for path, leaf in (_leaves(state.get(index)) if state is not None and _knows(state, index) else ())
    ]
    yield Part(name, module, own, kept)
    for word, value in below:
        if not isinstance(value, eqx.nn.StateIndex):
            yield from parts(value, state, prefix + word)


def _given(module: Any) -> Any:
    return module() if type(module) is eqx.nn.Shared else module


def _stops(node: Any) -> bool:
    return isinstance(node, eqx.Module)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(path_name(path), leaf) for path, leaf in found if is_array(leaf)]


def _knows(state: Any, index: Any) -> bool:
    try:
        state.get(index)
    except KeyError:
        return False
    return True


@dataclass
class Modules:
    """The modules of a network as it is held now, to be recognised when they run.

    JAX takes modules apart and makes them anew (`filter_jit`, `vmap`, `equinox.tree_at`), so besides the very object
    one of the same class that holds the very same arrays counts as the module.
    """

    root: Any
    listed: Sequence[Part]
    by_id: dict[int, str] = field(default_factory=dict)
    by_arrays: dict[tuple[Any, ...], list[tuple[Any, str]]] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Any, state: Any = None) -> Modules:
        """A module that stands at several places is listed at the first; the others are aliases of it."""
        found, listed = cls(root, ()), []
        for part in parts(root, state):
            first = found.by_id.setdefault(id(part.module), part.name)
            if first != part.name:
                found.aliases[part.name] = first
                continue
            listed.append(part)
            found.modules[part.name] = part.module
            found.by_arrays.setdefault(_held(part.module), []).append((_structure(part.module), part.name))
        found.listed = listed
        return found

    def name_of(self, module: Any) -> str | None:
        """The name of the module that this is; None if it is none, or could be several."""
        name = self.by_id.get(id(module))
        if name is not None or not isinstance(module, eqx.Module):
            return name
        alike = self.by_arrays.get(_held(module), [])
        if len(alike) > 1:
            structure = _structure(module)
            alike = [one for one in alike if one[0] == structure]
        return alike[0][1] if len(alike) == 1 else None


def _held(module: Any) -> tuple[Any, ...]:
    leaves = (bare(leaf) for leaf in jax.tree_util.tree_leaves(module))
    return (type(module), *(id(leaf) for leaf in leaves if is_array(leaf)))


def _structure(module: Any) -> Any:
    return jax.tree_util.tree_structure(module)


def under(modules: Mapping[str, Any], name: str) -> Iterator[Any]:
    """A module and those in it."""
    for path, module in modules.items():
        if path == name or not name or path.startswith(f"{name}."):
            yield module

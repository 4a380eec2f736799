"""The arrays of equinox modules that are computed from others, and which leaf of the tree each array is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...arrays import Array
from ...axes import Key
from . import values
from .holding import Tree
from .modules import Part

__all__ = ["Known", "Made", "made"]


@dataclass(frozen=True)
class Known:
    """Which leaf of the tree each array is, and the names that each leaf has."""

    tree: Tree
    numbers: Mapping[int, int]
    names: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, tree: Tree, listed: Sequence[Part]) -> Known:
        numbers: dict[int, int] = {}
        for number, leaf in enumerate(tree.leaves):
            if values.is_array(leaf):
                numbers.setdefault(id(leaf), number)
        names: dict[int, list[str]] = defaultdict(list)
        for part in listed:
            for word, leaf in (*part.arrays, *part.state):
                if id(leaf) in numbers:
                    names[numbers[id(leaf)]].append(f"{part.name}.{word}" if part.name else word)
        return cls(tree, numbers, names)


@dataclass(frozen=True, eq=False)
class Made:
    """The storage of an array that is computed from others whenever the layer runs."""

    make: Callable[[], Any]
    note: str
    identity: Any = None

    def read(self, key: Key = ()) -> Any:
        found = self.make()
        return found[key] if key else found

    def numbers(self, key: Key = ()) -> Any:
        return np.array(np.asarray(self.make())[key])


def made(prefix: str, part: Part, known: Known) -> list[Array]:
    """The arrays of a layer that are computed: the weight under a WeightNorm, the running statistics of a BatchNorm."""
    module = part.module
    if type(module) is eqx.nn.WeightNorm:
        return _normed(prefix, part, known)
    if type(module) is eqx.nn.SpectralNorm and part.state:
        return _divided(prefix, part, known)
    if isinstance(module, eqx.nn.BatchNorm) and module.mode == "batch" and part.state:
        words = dict(part.state)
        sources = [known.numbers[id(words[word])] for word in ("batch_state_index.0", "batch_state_index.1")]
        counter = known.numbers[id(words["batch_counter"])]
        return [
            _computed(
                f"{prefix}{word}",
                word,
                words["batch_state_index.0"],
                Made(_scaled(known.tree, source, counter, module.momentum), "divided by 1 - momentum^batches"),
                tuple(f"{prefix}{name}" for name in ("batch_state_index.0", "batch_counter")),
            )
            for word, source in zip(("running_mean", "running_var"), sources, strict=True)
        ]
    return []


def _scaled(tree: Tree, source: int, counter: int, momentum: float) -> Callable[[], Any]:
    def make() -> Any:
        seen = tree.leaves[counter]
        return tree.leaves[source] / jnp.where(seen == 0, 1, 1 - momentum**seen)

    return make


def _normed(prefix: str, part: Part, known: Known) -> list[Array]:
    """The effective weight of a layer in a WeightNorm, and the layer's other arrays under their own words."""
    module: Any = part.module
    leaves, own, direction = known.tree.leaves, known.numbers.get(id(module.g)), _wrapped(module, known)
    if direction is None or own is None:
        return []

    def make() -> Any:
        v = leaves[direction]
        return v * leaves[own] / module._norm(v)

    return _around(prefix, module, known, Made(make, "v g / |v|, by WeightNorm"), (f"{prefix}g",))


def _divided(prefix: str, part: Part, known: Known) -> list[Array]:
    """The effective weight of a layer in a SpectralNorm, by the vectors that its state holds."""
    module: Any = part.module
    leaves, wrapped = known.tree.leaves, _wrapped(module, known)
    left, right = (known.numbers[id(leaf)] for _, leaf in part.state)
    if wrapped is None:
        return []

    def make() -> Any:
        weight = leaves[wrapped]
        flat = weight.reshape(weight.shape[0], -1)
        return (flat / jnp.einsum("i,ij,j->", leaves[left], flat, leaves[right])).reshape(weight.shape)

    sources = tuple(f"{prefix}{word}" for word, _ in part.state)
    return _around(prefix, module, known, Made(make, "w / (u w v), by SpectralNorm"), sources)


def _wrapped(module: Any, known: Known) -> int | None:
    return known.numbers.get(id(getattr(module.layer, module.weight_name)))


def _around(prefix: str, module: Any, known: Known, made: Made, sources: tuple[str, ...]) -> list[Array]:
    """What the layer inside a wrapper runs with: the weight that the wrapper makes, its other arrays as they are."""
    inner, word, leaves = module.layer, module.weight_name, known.tree.leaves
    found = [_computed(f"{prefix}{word}", word, getattr(inner, word), made, (f"{prefix}layer.{word}", *sources))]
    for name, value in vars(inner).items():
        if name != word and values.is_array(value):
            read = partial(leaves.__getitem__, known.numbers[id(value)])
            same = Made(read, f"the array of {prefix}layer")
            found.append(_computed(f"{prefix}{name}", name, value, same, (f"{prefix}layer.{name}",)))
    return found


def _computed(path: str, word: str, like: Any, storage: Made, sources: tuple[str, ...]) -> Array:
    return Array(word, path, tuple(like.shape), values.dtype_name(like), storage, "computed", sources=sources)

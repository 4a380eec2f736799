"""One call of a Keras layer or operation while neurons are followed: what it was given, what it gave, whose weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np
from keras.src.backend import AutocastScope, get_keras_mask
from keras.src.models.functional import Functional

from ...arrays import Array
from ...flow.flow import Flow
from ...flow.rules import fresh
from ...flow.shadow import Ints, Shadow
from ...flow.weights import Found, found_in, row_major
from ...model import LayerInfo
from .unchanged import put, under

__all__ = ["Call", "Lost", "Network", "Trail", "Walk", "floating", "graph_of", "leaves", "noting"]


class Lost(Exception):
    """A rule does not hold for this call: what comes of it is unknown."""


class Trail(Protocol):
    """Who stands behind the arrays of a run; the tracer of torch is one, too."""

    flow: Flow
    numbers: bool
    pending: list[Shadow | None]

    def shadow(self, value: Any) -> Shadow | None: ...

    def put(self, value: Any, shadow: Shadow | None) -> None: ...

    def array(self, value: Any) -> Any: ...


class Walk:
    """Shadows by the identity of arrays, which stay alive as long as this does."""

    def __init__(self, flow: Flow, numbers: bool) -> None:
        self.flow = flow
        self.numbers = numbers
        self.pending: list[Shadow | None] = []
        """Who stands behind what the model within that runs next is given."""
        self._held: dict[int, tuple[Any, Shadow | None]] = {}

    def shadow(self, value: Any) -> Shadow | None:
        return self._held.get(id(value), (None, None))[1]

    def put(self, value: Any, shadow: Shadow | None) -> None:
        self._held[id(value)] = (value, shadow)

    def array(self, value: Any) -> Any:
        """Numbers in float64; None in a run without numbers."""
        return under().values.numpy(value) if self.numbers else None


@dataclass(frozen=True)
class Network:
    """The layers of a network by identity, with their names, and the rule for each call of one."""

    names: Mapping[int, str]
    layers: Mapping[str, LayerInfo]
    """What the model says of each layer, by name."""
    rule: Callable[[Call], None]

    def array(self, layer: Any, words: Sequence[str]) -> Array:
        """An array of a layer by its name there."""
        name = self.names.get(id(layer))
        held = () if name is None or self.layers[name].problem else self.layers[name].arrays
        found: Array | None = next((one for word in words for one in held if one.name == word), None)
        if found is None:
            raise Lost
        return found

    def run(self, trail: Trail, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a layer or operation, and follow who stands behind what it gives."""
        return self.through(trail, layer, layer, args, kwargs)

    def through(self, trail: Trail, layer: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The same by what calls it. What a functional model gives its own graph says."""
        if graph_of(layer) is not None:
            trail.pending = [trail.shadow(value) for value in keras.tree.flatten(args[0])]
            return call(*args, **kwargs)
        before: list[Any] = []
        masks = [(value, get_keras_mask(value)) for value in leaves((args, kwargs))]
        with noting(layer, before):
            out = call(*args, **kwargs)
        name = self.names.get(id(layer), getattr(layer, "name", type(layer).__name__))
        self.rule(Call(self, trail, layer, name, args, kwargs, out, tuple(before), masks))
        return out


@dataclass(frozen=True)
class Call:
    """One call. `before` is what entered the layer's activation, `masks` what the arrays were masked by."""

    network: Network
    trail: Trail
    layer: Any
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any
    before: tuple[Any, ...] = field(default=())
    masks: Sequence[tuple[Any, Any]] = field(default=())

    @property
    def flow(self) -> Flow:
        return self.trail.flow

    @property
    def numbers(self) -> bool:
        return self.trail.numbers

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """Arguments by name."""
        signature = getattr(self.layer, "_call_signature", None)
        if not isinstance(signature, inspect.Signature):
            signature = inspect.signature(self.layer.call)
        return signature.bind(*self.args, **self.kwargs).arguments

    @property
    def x(self) -> Any:
        """The first array that enters."""
        return next(iter(leaves((self.args, dict(self.kwargs)))))

    @property
    def shadow(self) -> Shadow | None:
        """Who stands behind the first array that enters."""
        return self.trail.shadow(self.x)

    @property
    def result(self) -> Any:
        """The first array that leaves."""
        return next(iter(leaves(self.out)))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.result.shape)

    def give(self, shadow: Shadow | None) -> None:
        self.trail.put(self.result, shadow)

    def array(self, *words: str) -> Array:
        return self.network.array(self.layer, words)

    def on(self, layer: Any, out: Any = None) -> Call:
        """The same call as one of another layer."""
        name = self.network.names.get(id(layer), self.name)
        return replace(self, layer=layer, name=name, out=self.out if out is None else out)

    def again(self, values: Mapping[int, Any]) -> Any:
        """What the call gives, in float64, for other arrays at the places of some, named by their identity."""
        args, kwargs = keras.tree.map_structure(
            lambda value: values.get(id(value), value), (list(self.args), dict(self.kwargs))
        )
        mask = None if not leaves(self.args) else get_keras_mask(self.x)
        if mask is not None and "mask" in inspect.signature(self.layer.call).parameters:
            kwargs.setdefault("mask", mask)
        with AutocastScope("float64"):
            return self.layer.call(*args, **kwargs)

    def found(
        self,
        array: Array,
        out: Sequence[int],
        into: Sequence[int],
        batch: Sequence[int] = (),
        part: Mapping[int, range] | None = None,
    ) -> Found:
        """What an array is: which of its axes give neurons, which are summed, and which do both.

        `part` has ranges along some axes, where not all of it is meant.
        """
        part = part or {}
        shape = tuple(array.shape)
        given = _elements(shape, [*batch, *out], part)
        read = _elements(shape, [*batch, *into], part)
        return found_in(self.flow.cells, (array.path, shape), given, read)

    def read(self, found: Found, shadow: Shadow | None) -> None:
        """Weights read; the last axis of the shadow is that of their slots."""
        if shadow is not None:
            for reader, slots in found.reads:
                self.flow.weighed(reader, slots.ravel(), shadow)

    def fresh(self, labels: Ints, shape: Sequence[int], axis: int) -> Shadow:
        """These neurons along an axis of an array."""
        wide = labels.reshape([-1 if at == axis % len(shape) else 1 for at in range(len(shape))])
        return fresh(self.flow, wide, tuple(shape), self.numbers)


def leaves(value: Any) -> list[Any]:
    """The arrays in a nested structure."""
    return [item for item in keras.tree.flatten(value) if keras.ops.is_tensor(item)]


def floating(value: Any) -> bool:
    """Whether an array is of real numbers."""
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype)))


def graph_of(layer: Any) -> Any:
    """The functional model that a model is, or runs; None for any other layer."""
    if isinstance(layer, keras.Sequential):
        return getattr(layer, "_functional", None)
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


def _elements(shape: tuple[int, ...], axes: Sequence[int], part: Mapping[int, range]) -> Ints:
    """Row-major numbers of the elements along some axes, at the start of the others."""
    steps = row_major(shape)
    axes = [axis % len(shape) for axis in axes]
    picked = {axis % len(shape): numbers for axis, numbers in part.items()}
    start = sum(numbers[0] * steps[axis] for axis, numbers in picked.items() if axis not in axes)
    found = np.array(start, np.int64)
    for axis in axes:
        found = found[..., None] + np.asarray(picked.get(axis, range(shape[axis])), np.int64) * steps[axis]
    return found


def noting(layer: Any, before: list[Any]) -> AbstractContextManager[None]:
    """While this holds the arrays that enter a layer's activation are kept."""
    activation = None if hasattr(type(layer), "activation") else getattr(layer, "activation", None)
    if not callable(activation):
        return nullcontext()

    def noted(x: Any, *args: Any, **kwargs: Any) -> Any:
        before.append(x)
        return activation(x, *args, **kwargs)

    return put(layer, {"activation": noted})

"""From a live Keras layer or model to a `Model`: every layer under the name that a file has for it, every variable
in its place, ties named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import keras

from ...arrays import Array
from ...errors import OpenError
from ...frozen import replace
from ...kinds import Kind, class_name, find
from ...kinds.keras import EIGHT_BITS, einsum_neurons
from ...model import LayerInfo, Model, describe
from ...views import with_views
from .decoding import Held, apart_of, held_of, unread
from .keeping import KerasKeeper
from .memory import memory
from .names import Named, folded, named
from .runner import KerasRunner
from .storage import own_variables

__all__ = ["handles", "open_model"]

_SAFE = frozenset(
    {"build", "get_config", "from_config", "get_build_config", "build_from_config", "compute_output_shape"}
    | {"compute_output_spec", "compute_mask", "save_own_variables", "load_own_variables", "save_assets"}
    | {"load_assets", "quantize", "add_loss"}
)
"""What a subclass may have of its own and still compute what its base does."""
_GRU = ("keras.layers.GRU", "keras.layers.GRUCell")


def handles(thing: object) -> bool:
    """Whether this is a layer of Keras 3; a model is one."""
    return isinstance(thing, keras.layers.Layer)


def open_model(layer: Any) -> Model:
    """Describe a live layer or model. Nothing is copied, built or changed, and nothing runs but what adds the low-rank
    product of a LoRA layer to its kernel, for its shape.

    Raises OpenError for a layer that is not built: it has no arrays before that.
    """
    memory()
    parts, aliases = named(layer)
    _refuse_unbuilt(parts)
    kinds = {part.name: _kind(part.thing) for part in parts}
    held = {part.name: held_of(part, kinds[part.name]) for part in parts}
    ties = _ties(held)
    bare = {part.name: _layer(part, kinds[part.name], held[part.name], ties) for part in parts}
    arrays = {array.path: array for info in bare.values() for array in info.arrays}
    things = {part.name: part.thing for part in parts}
    layers = {name: _described(info, things[name], arrays) for name, info in bare.items()}
    layers = with_views(layers, lambda name, path: _attribute(things[name], path))
    runner = KerasRunner(layer, {name: thing for name, thing in things.items() if handles(thing)})
    source = layer.name if isinstance(layer, keras.Model) else type(layer).__name__
    return Model(source, "keras", layers, runner, KerasKeeper(layer, layers), aliases)


def _refuse_unbuilt(parts: Sequence[Named]) -> None:
    for part in parts:
        layer = part.thing
        plain = handles(layer) and type(layer).build is keras.layers.Layer.build  # it makes no weights
        late = handles(layer) and not layer.built and not isinstance(layer, keras.layers.InputLayer) and not plain
        if late or any(variable._value is None for variable in own_variables(layer)):
            what = f"layer {part.name!r} ({type(layer).__name__})" if part.name else f"{type(layer).__name__}"
            raise OpenError(
                f"{what} is not built, so its arrays have no shape yet",
                "build it, model.build(input_shape), or call it once on real input, then open it",
            )


def _ties(held: Mapping[str, Sequence[Held]]) -> Mapping[Hashable, list[str]]:
    ties: dict[Hashable, list[str]] = defaultdict(list)
    for arrays in held.values():
        for one in arrays:
            ties[one.slot.identity].append(one.slot.path)
    return ties


def _layer(part: Named, kind: Kind | None, held: Sequence[Held], ties: Mapping[Hashable, list[str]]) -> LayerInfo:
    arrays = tuple(_array(one, ties[one.slot.identity]) for one in held)
    problem = unread(part.cell or part.thing)
    kind = None if problem else kind
    how = "stated" if kind else "unknown" if arrays else ""
    own = kind is not None and _overrides(type(part.thing))
    return LayerInfo(part.name, class_name(type(part.thing)), kind, how, arrays, problem=problem, own_forward=own)


def _array(held: Held, same: Sequence[str]) -> Array:
    slot = held.slot
    return Array(
        name=held.name,
        path=slot.path,
        shape=slot.shape,
        dtype=held.dtype,
        storage=slot,
        role=held.role,
        tied=tuple(path for path in same if path != slot.path),
        trainable=held.trainable,
        sources=getattr(slot, "sources", ()),
    )


def _kind(layer: Any) -> Kind | None:
    """The row of a layer's class, or of the first of its bases that has one."""
    kind = find(map(class_name, type(layer).__mro__))
    if kind is None:
        return None
    if kind.name in _GRU and not layer.reset_after:
        kind = find([f"{kind.name}:reset_before"]) or kind
    if not getattr(layer, "quantization_mode", None):
        return kind
    if layer.quantization_mode == "int8" and (isinstance(layer, keras.layers.Embedding) or layer.inputs_quantizer):
        kind = find([f"{kind.name}{EIGHT_BITS}"]) or kind
    return replace(kind, apart={**kind.apart, **apart_of(layer)})


def _overrides(cls: type) -> bool:
    """Whether a class computes otherwise than the one of its bases that the catalogue has: it has a method or property
    of its own that the base has too, beside those that only build, save and describe."""
    if find([class_name(cls)]) is not None:
        return False
    base = next(one for one in cls.__mro__ if find([class_name(one)]) is not None)
    own = {name for one in cls.__mro__[: cls.__mro__.index(base)] for name in vars(one) if not name.startswith("__")}
    changed = {
        name for name in own if hasattr(base, name) and (callable(getattr(cls, name)) or _is_property(cls, name))
    }
    return bool(changed - _SAFE)


def _is_property(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name), property)


def _described(layer: LayerInfo, thing: Any, arrays: Mapping[str, Array]) -> LayerInfo:
    prefix = f"{layer.name}." if layer.name else ""
    shapes = {f"{array.name}.shape": array.shape for array in layer.arrays}
    asked = lambda path: shapes[path] if path in shapes else _attribute(thing, path)  # noqa: E731
    return describe(layer, asked, lambda name: arrays.get(prefix + name))


def _attribute(layer: Any, path: str) -> Any:
    """What a layer states, as its config would: shapes as tuples, Keras' own functions by name."""
    if path == "einsum_neurons":
        return _einsum_neurons(layer)
    value: Any = layer
    for step in path.split("."):
        inner = getattr(value, "cell", None) if folded(value) and not hasattr(value, step) else None
        value = getattr(value if inner is None else inner, step)
    if path.endswith("shape"):
        return tuple(value)
    if path == "groups" and value == -1:
        return _channels(layer)
    return _named(value) if callable(value) and not handles(value) else value


def _named(function: Any) -> Any:
    """The name of a function of Keras' own, else the function."""
    name = getattr(function, "__name__", "")
    return name if name and getattr(keras.activations, name, None) is function else function


def _channels(layer: Any) -> int:
    return max((int(variable.shape[-1]) for variable in own_variables(layer)), default=1)


def _einsum_neurons(layer: Any) -> tuple[int, ...]:
    """The axes of an EinsumDense's kernel that are its neurons: those that its output has too."""
    kernel = tuple(layer._kernel.shape if hasattr(layer, "_kernel") else layer.kernel.shape)
    return einsum_neurons(layer.equation, kernel)

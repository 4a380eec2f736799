"""From array names in a file to layers: what the file states, else what names and shapes suggest, else unknown.

A file made by `Network.save` states each layer's kind. Any other safetensors file holds names and shapes only, so a
kind found from those is marked `inferred`: a square matrix does not show which way it lies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from ..address import Names
from ..arrays import Array
from ..axes import Key
from ..frozen import replace
from ..kinds import Kind, find
from ..model import NOT_STATED, LayerInfo, Placed, Population, describe
from ..views import viewed
from ._suggest_kernel import suggest
from .stored import Arrays, Says

__all__ = ["layers_of"]

STATED = "patchclamp.layers"
_RUNNING = "running_mean"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "moving_mean", "moving_variance", "mean", "var")
_BEHIND = ".parametrizations."
_TEXT = (
    *("padding", "padding_mode", "mode", "nonlinearity", "format"),
    *("data_format", "activation", "recurrent_activation"),
)
"""The attributes of layers that are words."""
_TABLES = {"wte", "wpe", "emb", "embed", "embedding", "embeddings"}
"""Words in the names that people give to tables of vectors."""
_EITHER = {"c_attn", "c_proj", "c_fc", "q_attn"}
"""Names of GPT-2, whose Conv1D holds inputs first, and of networks after it, whose Linear holds them last."""


def layers_of(
    arrays: Sequence[Array], metadata: Mapping[str, str], says: Says | None = None
) -> Mapping[str, LayerInfo]:
    """The layers of a file, in its order of names; arrays are named by what follows the last dot.

    `says` is what the file states of its layers; a file that `Network.save` wrote states that in its metadata. A layer
    is described when it is looked for; where nothing is stated and the arrays can be found layer by layer, the others
    are not listed for it.
    """
    stated: Says = {**(says or {}), **_stated(metadata)}
    groups = _Searched(arrays) if isinstance(arrays, Arrays) and not stated else _Grouped(arrays, stated)
    plain = _Lazy(groups, partial(_plain, groups, stated))
    return _Lazy(groups, partial(_with_views, plain, partial(_attribute, plain, stated)))


def _plain(groups: _Grouped | _Searched, stated: Says, name: str) -> LayerInfo:
    """One layer by its own arrays."""
    return _layer(name, groups.of(name), stated.get(name), groups.finder(name))


def _with_views(plain: Mapping[str, LayerInfo], attribute: Callable[[str, str], Any], name: str) -> LayerInfo:
    return viewed(plain[name], plain, attribute)


def _attribute(plain: Mapping[str, LayerInfo], stated: Says, name: str, path: str) -> Any:
    return _reader(_kind(plain[name]), stated.get(name, {}))(path)


class _Grouped(Names):
    """The arrays of each layer, by what the file states and by their names."""

    def __init__(self, arrays: Sequence[Array], stated: Says) -> None:
        groups: dict[str, list[Array]] = {}
        for array in arrays:
            layer, leaf = _split(array.name, stated)
            groups.setdefault(layer, []).append(_called(array, leaf))
        order = [name for name in stated if name in groups or _has_views(stated[name])]
        self._groups = {name: tuple(groups.get(name, ())) for name in dict.fromkeys((*order, *groups))}

    def of(self, layer: str) -> tuple[Array, ...]:
        return self._groups[layer]

    def finder(self, layer: str) -> Callable[[str], Array | None]:
        """What finds an array within a layer by the rest of its path."""
        prefix = f"{layer}." if layer else ""
        return lambda name: self._paths.get(prefix + name)

    @cached_property
    def _paths(self) -> dict[str, Array]:
        return {array.path: array for held in self._groups.values() for array in held}

    def __contains__(self, name: object) -> bool:
        return name in self._groups

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


class _Searched(Names):
    """The same of a file that states nothing and finds the arrays of a layer; all are listed to go through them."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._found: dict[str, tuple[Array, ...]] = {}

    @cached_property
    def _listed(self) -> _Grouped:
        return _Grouped(self._arrays, {})

    def of(self, layer: str) -> tuple[Array, ...]:
        if layer not in self:
            raise KeyError(layer)
        return self._found[layer]

    def finder(self, layer: str) -> Callable[[str], Array | None]:
        return lambda name: self._listed.finder(layer)(name)

    def holds(self, name: str) -> bool:
        return self._arrays.beginning(f"{name}.") > 0

    def alone(self, name: str) -> bool:
        return name in self and self._arrays.beginning(name) == len(self._found[name])

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        found = self._found.get(name)
        if found is None:
            arrays = [(array, _split(array.name, {})) for array in self._arrays.of(name)]
            found = tuple(_called(array, leaf) for array, (layer, leaf) in arrays if layer == name)
            if not found:
                return False
            self._found[name] = found
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class _Lazy(Names, Mapping[str, LayerInfo]):
    """Layers by name, each made when it is first looked for."""

    def __init__(self, names: Names, make: Callable[[str], LayerInfo]) -> None:
        self._names = names
        self._make = make
        self._made: dict[str, LayerInfo] = {}

    def __getitem__(self, name: str) -> LayerInfo:
        found = self._made.get(name)
        if found is None:
            if name not in self._names:
                raise KeyError(name)
            found = self._made[name] = self._make(name)
        return found

    def holds(self, name: str) -> bool:
        return self._names.holds(name)

    def alone(self, name: str) -> bool:
        return self._names.alone(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _called(array: Array, leaf: str) -> Array:
    """The array under its name in the layer."""
    a = array
    return Array(
        leaf, a.name, a.shape, a.dtype, a.storage, a.role, a.tied, a.trainable, a.sources, a.shares, a.repeated
    )


def _has_views(said: Mapping[str, Any]) -> bool:
    """Whether a layer without arrays of its own is one all the same: an attention names the rows of its projections."""
    kind = find([said["kind"]])
    return kind is not None and (bool(kind.views) or any("." in word for word in kind.arrays))


def _kind(layer: LayerInfo) -> Kind:
    assert layer.kind is not None
    return layer.kind


def _split(name: str, stated: Mapping[str, Any]) -> tuple[str, str]:
    """Layer and array, cut at the last dot; what stands behind a computed array belongs to the layer that computes it.

    An array of the network itself keeps its whole name, so that no two arrays of a layer have one name.
    """
    layer, _, leaf = name.rpartition(".")
    behind, found, inner = name.partition(_BEHIND)
    if found and behind in stated:
        return behind, _BEHIND[1:] + inner
    if not layer or (name.startswith(_BEHIND[1:]) and "" in stated):
        return "", name
    return layer, leaf


def _stated(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the file says of its layers. Text from a file is data: anything that is not of this form is passed over."""
    if STATED not in metadata:
        return {}
    try:
        found = json.loads(metadata[STATED])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: said for name, said in found.items() if isinstance(said, dict) and isinstance(said.get("kind"), str)}


def _layer(
    name: str, arrays: tuple[Array, ...], said: Mapping[str, Any] | None, inside: Callable[[str], Array | None]
) -> LayerInfo:
    guessed = said is not None and said.get("inferred") is True
    if said is not None and not guessed and (kind := find([said["kind"]])) is not None:
        layer = describe(LayerInfo(name, kind.name, kind, "stated", _roles(kind, arrays)), _reader(kind, said), inside)
        if layer.kind is None:  # a size that no shape decides is not stated: that of most layers may fit
            guess = _layer(name, arrays, {**said, "inferred": True}, inside)
            return guess if guess.kind is not None else layer
        return layer if layer.described or kind.views or not kind.arrays else _without(layer)
    shapes = {array.name: array.shape for array in arrays}
    suggested = said["kind"] if said is not None and guessed else _suggest(name, shapes)
    kind = find([suggested]) if suggested else None
    if kind is None:
        return LayerInfo(name, NOT_STATED, None, "unknown", arrays)
    arrays = _roles(kind, arrays)
    alike = "" if guessed else (suggested, *shapes.items())
    if (known := _ALIKE.get(alike)) is not None and known.kind is kind:
        return _placed(known, name, arrays)
    layer = LayerInfo(name, kind.name, kind, "inferred", arrays)
    usual = {"groups": 1, "feature_group_count": 1, "normalized_shape": list(shapes.get("weight", ()))}
    usual |= {f"{word}.shape": list(shape) for word, shape in shapes.items()}
    layer = describe(layer, _reader(kind, {**usual, **(said or {})} if guessed else usual), inside)
    if layer.kind is None:
        return replace(layer, class_name=NOT_STATED)
    if alike and len(_ALIKE) < _REMEMBERED and not any("." in array.name for array in arrays):
        _ALIKE[alike] = _placed(layer, "", tuple(replace(array, storage=_NOWHERE) for array in arrays))
    return layer


class _Nowhere:
    """Stands for the numbers of a layer that is remembered without them, so that no file stays open for it."""

    def read(self, key: Key) -> Any:
        raise NotImplementedError


_NOWHERE = _Nowhere()
_ALIKE: dict[object, LayerInfo] = {}
"""Layers by the kind that was suggested for them and the shapes of their arrays: networks repeat their layers."""
_REMEMBERED = 1000


def _placed(like: LayerInfo, name: str, arrays: tuple[Array, ...]) -> LayerInfo:
    """A layer that is as another one, with its own name and arrays."""
    own = {array.name: array for array in arrays}
    populations = {}
    for word, cells in like.populations.items():
        placed = tuple([Placed(p.word, own[p.array.name], p.layout, p.at) for p in cells.placed])
        populations[word] = Population(cells.name, cells.noun, cells.axes, cells.facets, placed, cells.fixed)
    return LayerInfo(name, like.class_name, like.kind, like.known, arrays, populations, like.sizes, like.config)


def _without(layer: LayerInfo) -> LayerInfo:
    """A layer whose arrays are not those of the kind that the file states."""
    return LayerInfo(layer.name, layer.class_name, None, "unknown", layer.arrays, problem="none of its arrays is there")


def _roles(kind: Kind, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """The statistics that a norm keeps are no parameters, in a file as in a live network."""
    if kind.role != "norm":
        return arrays
    return tuple(replace(array, role="buffer") if array.name in _STATISTICS else array for array in arrays)


def _reader(kind: Kind, said: Mapping[str, Any]) -> Callable[[str], Any]:
    """What the file says of an attribute; LookupError for what it does not say, or what no layer could have there."""

    def read(attribute: str) -> Any:
        value = said[attribute]
        value = tuple(value) if isinstance(value, list) else value
        sizes = all(type(item) is int and item >= 0 for item in (value if isinstance(value, tuple) else (value,)))
        axes = [axis for axis, paths in kind.sizes.items() if attribute in paths.split("|")]
        if axes:
            packed = any(axis.startswith("(") for axis in axes)
            possible = sizes and value != 0 and not (packed and isinstance(value, tuple))
        else:
            possible = sizes or value is None or type(value) in (bool, float)
            possible = possible or (isinstance(value, str) and attribute in _TEXT)
            possible = possible or (attribute == "padding" and isinstance(value, tuple) and all(map(_sides, value)))
        if not possible:
            raise LookupError(attribute)
        return value

    return read


def _sides(value: Any) -> bool:
    """Whether it is the padding before and after an axis."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(type(side) is int and side >= 0 for side in value)


def _suggest(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The kind that names and shapes suggest, if any."""
    for suffix, ending in (("_l0", ""), ("", "Cell")):
        into, back = shapes.get(f"weight_ih{suffix}", ()), shapes.get(f"weight_hh{suffix}", ())
        if len(into) == len(back) == 2:
            return _recurrent(into, shapes.get(f"weight_hr{suffix}", back), ending)
    weight = shapes.get("weight")
    if not weight:
        return suggest(name, shapes) if weight is None else ""
    if _RUNNING in shapes:
        return "torch.nn.BatchNorm2d"
    if len(weight) == 1:
        return "torch.nn.LayerNorm" if "bias" in shapes else "torch.nn.RMSNorm"
    if len(weight) == 2 and name.rpartition(".")[2] in _EITHER:
        return _either(weight, shapes.get("bias"))
    if len(weight) == 2:
        words = {word.rstrip("0123456789") for word in name.rpartition(".")[2].lower().split("_")}
        table = "bias" not in shapes and not words.isdisjoint(_TABLES)
        return "torch.nn.Embedding" if table else "torch.nn.Linear"
    return _conv(weight, shapes.get("bias"))


def _either(weight: tuple[int, ...], bias: tuple[int, ...] | None) -> str:
    """The bias tells inputs first from inputs last; of a square matrix nothing does."""
    if bias is None or weight[0] == weight[1]:
        return ""
    return "transformers.pytorch_utils.Conv1D" if bias == weight[1:] else "torch.nn.Linear"


def _conv(weight: tuple[int, ...], bias: tuple[int, ...] | None) -> str:
    rank = len(weight) - 2
    if rank > 3:
        return ""
    turned = bias is not None and bias != weight[:1] and bias == weight[1:2]
    return f"torch.nn.{'ConvTranspose' if turned else 'Conv'}{rank}d"


def _recurrent(weight: tuple[int, ...], state: tuple[int, ...], suffix: str) -> str:
    """The number of gates tells LSTM, GRU and RNN apart. A projection (hidden, units) has the units at its end."""
    cells = {4: "LSTM", 3: "GRU", 1: "RNN"}
    gates, left = divmod(weight[0], state[-1]) if state and state[-1] else (0, 1)
    return f"torch.nn.{cells[gates]}{suffix}" if not left and gates in cells else ""

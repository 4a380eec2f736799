"""From array names in a file to layers: what the file states, else what names and shapes suggest, else unknown.

A file made by `Network.save` states each layer's kind. Any other safetensors file holds names and shapes only, so a
kind found from those is marked `inferred`: a square matrix does not show which way it lies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import Array
from ..frozen import replace
from ..kinds import Kind, find
from ..model import LayerInfo, describe
from ..views import with_views
from .stored import Says

__all__ = ["layers_of"]

STATED = "patchclamp.layers"
_RUNNING = "running_mean"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BEHIND = ".parametrizations."
_NOT_STATED = "not stated in the file"
_TEXT = ("padding", "padding_mode", "mode", "nonlinearity")
"""The attributes of layers that are words."""
_TABLES = {"wte", "wpe", "emb", "embed", "embedding", "embeddings"}
"""Words in the names that people give to tables of vectors."""


def layers_of(arrays: tuple[Array, ...], metadata: Mapping[str, str], says: Says | None = None) -> dict[str, LayerInfo]:
    """The layers of a file, in its order of names; arrays are named by what follows the last dot.

    `says` is what the file states of its layers; a file that `Network.save` wrote states that in its metadata.
    """
    stated: Says = {**(says or {}), **_stated(metadata)}
    groups: dict[str, list[Array]] = {}
    for array in arrays:
        layer, leaf = _split(array.name, stated)
        groups.setdefault(layer, []).append(replace(array, name=leaf, path=array.name))
    paths = {array.path: array for held in groups.values() for array in held}
    order = [name for name in stated if name in groups or _has_views(stated[name])]
    found = {}
    for name in dict.fromkeys((*order, *groups)):
        inside = _finder(paths, f"{name}." if name else "")
        found[name] = _layer(name, tuple(groups.get(name, ())), stated.get(name), inside)
    return with_views(found, lambda name, path: _reader(_kind(found[name]), stated.get(name, {}))(path))


def _finder(paths: Mapping[str, Array], prefix: str) -> Callable[[str], Array | None]:
    return lambda name: paths.get(prefix + name)


def _has_views(said: Mapping[str, Any]) -> bool:
    """Whether a layer without arrays of its own is one all the same: an attention names the rows of its projections."""
    kind = find([said["kind"]])
    return kind is not None and bool(kind.views)


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
    try:
        found = json.loads(metadata.get(STATED, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: said for name, said in found.items() if isinstance(said, dict) and isinstance(said.get("kind"), str)}


def _layer(
    name: str, arrays: tuple[Array, ...], said: Mapping[str, Any] | None, inside: Callable[[str], Array | None]
) -> LayerInfo:
    if said is not None and (kind := find([said["kind"]])) is not None:
        layer = describe(LayerInfo(name, kind.name, kind, "stated", _roles(kind, arrays)), _reader(kind, said), inside)
        return layer if layer.described or layer.kind is None or kind.views else _without(layer)
    shapes = {array.name: array.shape for array in arrays}
    suggested = _suggest(name, shapes)
    kind = find([suggested]) if suggested else None
    if kind is None:
        return LayerInfo(name, _NOT_STATED, None, "unknown", arrays)
    layer = LayerInfo(name, kind.name, kind, "inferred", _roles(kind, arrays))
    layer = describe(layer, _reader(kind, {"groups": 1, "normalized_shape": list(shapes.get("weight", ()))}))
    return layer if layer.kind is not None else replace(layer, class_name=_NOT_STATED)


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
        if any(attribute in paths.split("|") for paths in kind.sizes.values()):
            possible = sizes and value != 0
        else:
            possible = sizes or value is None or type(value) in (bool, float)
            possible = possible or (isinstance(value, str) and attribute in _TEXT)
        if not possible:
            raise LookupError(attribute)
        return value

    return read


def _suggest(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The kind that names and shapes suggest, if any."""
    for suffix, ending in (("_l0", ""), ("", "Cell")):
        into, back = shapes.get(f"weight_ih{suffix}", ()), shapes.get(f"weight_hh{suffix}", ())
        if len(into) == len(back) == 2:
            return _recurrent(into, shapes.get(f"weight_hr{suffix}", back), ending)
    weight = shapes.get("weight")
    if weight is None or not weight:
        return ""
    if _RUNNING in shapes:
        return "torch.nn.BatchNorm2d"
    if len(weight) == 1:
        return "torch.nn.LayerNorm" if "bias" in shapes else "torch.nn.RMSNorm"
    if len(weight) == 2:
        words = {word.rstrip("0123456789") for word in name.rpartition(".")[2].lower().split("_")}
        table = "bias" not in shapes and not words.isdisjoint(_TABLES)
        return "torch.nn.Embedding" if table else "torch.nn.Linear"
    return _conv(weight, shapes.get("bias"))


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

"""From array names in a file to layers: what the file states, else what names and shapes suggest, else unknown.

A file made by `Network.save` states each layer's kind. Any other safetensors file holds names and shapes only, so a
kind found from those is marked `inferred`: a square matrix does not show which way it lies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import Array
from ..kinds import find
from ..model import LayerInfo, describe

__all__ = ["layers_of"]

STATED = "patchclamp.layers"
_RUNNING = "running_mean"
_TABLES = ("wte", "wpe", "embed")


def layers_of(arrays: tuple[Array, ...], metadata: Mapping[str, str]) -> dict[str, LayerInfo]:
    """The layers of a file, in its order of names; arrays are named by what follows the last dot."""
    stated = _stated(metadata)
    groups: dict[str, list[Array]] = {}
    for array in arrays:
        layer, leaf = _split(array.name, stated)
        groups.setdefault(layer, []).append(Array(leaf, array.name, array.shape, array.dtype, array.storage))
    order = [name for name in stated if name in groups]
    return {name: _layer(name, tuple(groups[name]), stated.get(name)) for name in dict.fromkeys((*order, *groups))}


def _split(name: str, stated: Mapping[str, Any]) -> tuple[str, str]:
    """Layer and array: at the last dot, unless the file states a layer that ends elsewhere."""
    layer, _, leaf = name.rpartition(".")
    while layer and layer not in stated:
        shorter = layer.rpartition(".")[0]
        if shorter in stated:
            return shorter, name[len(shorter) + 1 :]
        layer = shorter
    return (layer, leaf) if layer in stated else (name.rpartition(".")[0], name.rpartition(".")[2])


def _stated(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the file says of its layers. Text from a file is data: anything that is not of this form is passed over."""
    try:
        found = json.loads(metadata.get(STATED, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: said for name, said in found.items() if isinstance(said, dict) and isinstance(said.get("kind"), str)}


def _layer(name: str, arrays: tuple[Array, ...], said: Mapping[str, Any] | None) -> LayerInfo:
    if said is not None and (kind := find([said["kind"]])) is not None:
        return describe(LayerInfo(name, kind.name, kind, "stated", arrays), _reader(said))
    shapes = {array.name: array.shape for array in arrays}
    suggested = _suggest(name, shapes)
    kind = find([suggested]) if suggested else None
    if kind is None:
        return LayerInfo(name, "not stated in the file", None, "unknown", arrays)
    layer = LayerInfo(name, kind.name, kind, "inferred", arrays)
    return describe(layer, _reader({"groups": 1, "normalized_shape": shapes.get("weight", ())}))


def _reader(said: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(attribute: str) -> Any:
        value = said[attribute]
        return tuple(value) if isinstance(value, list) else value

    return read


def _suggest(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The kind that names and shapes suggest, if any."""
    if "weight_hh_l0" in shapes and "weight_ih_l0" in shapes:
        return _recurrent(shapes["weight_ih_l0"], shapes.get("weight_hr_l0", shapes["weight_hh_l0"])[-1], "")
    if "weight_hh" in shapes and "weight_ih" in shapes:
        return _recurrent(shapes["weight_ih"], shapes["weight_hh"][-1], "Cell")
    weight = shapes.get("weight")
    if weight is None or not weight:
        return ""
    if _RUNNING in shapes:
        return "torch.nn.BatchNorm2d"
    if len(weight) == 1:
        return "torch.nn.LayerNorm" if "bias" in shapes else "torch.nn.RMSNorm"
    if len(weight) == 2:
        leaf = name.rpartition(".")[2].lower()
        table = "bias" not in shapes and any(word in leaf for word in _TABLES)
        return "torch.nn.Embedding" if table else "torch.nn.Linear"
    return _conv(weight, shapes.get("bias"))


def _conv(weight: tuple[int, ...], bias: tuple[int, ...] | None) -> str:
    rank = len(weight) - 2
    if rank > 3:
        return ""
    turned = bias is not None and bias[0] != weight[0] and bias[0] == weight[1]
    return f"torch.nn.{'ConvTranspose' if turned else 'Conv'}{rank}d"


def _recurrent(weight: tuple[int, ...], units: int, suffix: str) -> str:
    """The number of gates tells LSTM, GRU and RNN apart."""
    cells = {4: "LSTM", 3: "GRU", 1: "RNN"}
    gates, left = divmod(weight[0], units) if units else (0, 1)
    return f"torch.nn.{cells[gates]}{suffix}" if not left and gates in cells else ""

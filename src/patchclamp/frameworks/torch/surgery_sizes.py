"""What the attributes of torch's own layers say of their sizes, read off the arrays that they hold now."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from ...kinds import class_name

__all__ = ["sizes_of"]

_GATES = {"LSTM": 4, "GRU": 3}


def _shape(module: nn.Module, *names: str) -> tuple[int, ...]:
    """The shape of the first of these arrays that the module has; effective ones of pruned layers, and of those with a
    weight_norm by hooks, are computed."""
    for name in names:
        for stored in (name, f"{name}_orig", f"{name}_v"):
            for held in (module._parameters, module._buffers):
                value = held.get(stored)
                if value is not None:
                    return tuple(value.shape)
        if is_parametrized(module, name):
            stacks: Any = module.parametrizations
            return max((tuple(value.shape) for value in stacks[name].parameters()), key=math.prod)
    return ()


def _linear(module: Any) -> dict[str, Any]:
    out, into = _shape(module, "weight")
    return {"out_features": out, "in_features": into}


def _conv(module: Any) -> dict[str, Any]:
    first, second = _shape(module, "weight")[:2]
    if module.transposed:
        return {"in_channels": first, "out_channels": second * module.groups}
    return {"out_channels": first, "in_channels": second * module.groups}


def _running(module: Any) -> dict[str, Any]:
    shape = _shape(module, "weight", "running_mean")
    return {"num_features": shape[0]} if shape else {}


def _stack(module: Any) -> dict[str, Any]:
    rows, into = _shape(module, "weight_ih_l0")
    sizes: dict[str, Any] = {"input_size": into, "hidden_size": rows // _GATES.get(module.mode, 1)}
    if module.proj_size:
        sizes["proj_size"] = _shape(module, "weight_hr_l0")[0]
    # What the fused call is given: the parameters that are there now.
    return sizes | {"_flat_weights": [getattr(module, name) for name in module._flat_weights_names]}


def _cell(module: Any) -> dict[str, Any]:
    return {"input_size": _shape(module, "weight_ih")[1], "hidden_size": _shape(module, "weight_hh")[1]}


def _table(module: Any) -> dict[str, Any]:
    rows, width = _shape(module, "weight")
    return {"num_embeddings": rows, "embedding_dim": width}


def _features(module: Any) -> dict[str, Any]:
    shape = _shape(module, "weight")
    return {"normalized_shape": shape} if shape else {}


_RULES: tuple[tuple[type, Callable[[Any], dict[str, Any]]], ...] = (
    (nn.Linear, _linear),
    (nn.modules.conv._ConvNd, _conv),
    (nn.modules.batchnorm._NormBase, _running),
    (nn.GroupNorm, lambda module: {"num_channels": shape[0]} if (shape := _shape(module, "weight")) else {}),
    (nn.LayerNorm, _features),
    (nn.RMSNorm, _features),
    (nn.RNNBase, _stack),
    (nn.RNNCellBase, _cell),
    ((nn.Embedding), _table),
    (nn.EmbeddingBag, _table),
    (nn.PReLU, lambda module: {"num_parameters": _shape(module, "weight")[0]}),
    (
        nn.Bilinear,
        lambda module: dict(
            zip(("out_features", "in1_features", "in2_features"), _shape(module, "weight"), strict=True)
        ),
    ),
)
_NAMED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "transformers.pytorch_utils.Conv1D": lambda module: dict(zip(("nx", "nf"), _shape(module, "weight"), strict=True)),
}
"""Layers of packages that are not imported here, by the full name of their class."""


def sizes_of(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes that state the sizes of a layer, with the values that its arrays have now; those that it has."""
    rule = next((rule for cls, rule in _RULES if isinstance(module, cls)), None)
    rule = rule or next((_NAMED[name] for name in map(class_name, type(module).__mro__) if name in _NAMED), None)
    if rule is None:
        return {}
    return {name: value for name, value in rule(module).items() if hasattr(module, name)}

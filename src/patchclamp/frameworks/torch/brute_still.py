"""For the brute-force oracle: norms with the statistics of the clean run, attention with its pattern.

With these held, a norm is a scale of its own for each element, and an attention sums values with fixed weights: what
then reaches a consumer comes along direct paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

__all__ = ["bound", "still", "stilled"]

PATTERN = frozenset({"softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax"})
"""What gives a pattern."""
FUSED = frozenset({"scaled_dot_product_attention"})
NORMS = frozenset({"layer_norm", "rms_norm", "group_norm", "instance_norm"})
STATISTICS = frozenset({"mean", "var", "std", "var_mean", "std_mean", "rsqrt", "norm", "linalg_vector_norm"})
"""What gives a statistic within a layer that is a norm."""
HELD = PATTERN | FUSED | NORMS


def stilled(name: str, norm: bool) -> bool:
    """Whether a call gives, or uses, what is held; `norm` says whether a layer that is a norm runs."""
    return name in HELD or (norm and name in STATISTICS)


def still(func: Any, clean: Mapping[str, Any], given: Any, now: Mapping[str, Any]) -> Any:
    """What a call gives on `now` with the statistics, or the pattern, that it had on `clean`, when it gave `given`."""
    name = func.overloadpacket.__name__
    if name in FUSED:
        return func(**{**now, "query": clean["query"], "key": clean["key"]})
    if name in NORMS:
        return given + (now["input"] - clean["input"]) * _scale(name, clean)
    return _copied(given)


def bound(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, with those that were left out."""
    named = [argument.name for argument in func._schema.arguments]
    left = {argument.name: argument.default_value for argument in func._schema.arguments}
    return {**left, **dict(zip(named, args, strict=False)), **kwargs}


def _scale(name: str, given: Mapping[str, Any]) -> torch.Tensor:
    """What a norm multiplies each element by, beside its statistics: weight / deviation."""
    x, weight = given["input"], given["weight"]
    eps = torch.finfo(x.dtype).eps if given["eps"] is None else given["eps"]
    if name in ("layer_norm", "rms_norm"):
        axes = tuple(range(-len(given["normalized_shape"]), 0))
        power = x.pow(2).mean(axes, keepdim=True) if name == "rms_norm" else _variance(x, axes)
        return _weighted((power + eps).rsqrt(), weight)
    channels = (1, -1, *(1,) * (x.ndim - 2))
    weight = None if weight is None else weight.reshape(channels)
    if name == "group_norm":
        grouped = x.reshape(x.shape[0], given["num_groups"], -1)
        power = _variance(grouped, (-1,)).expand_as(grouped).reshape(x.shape)
    elif given["use_input_stats"]:
        power = _variance(x, tuple(range(2, x.ndim)))
    else:
        power = given["running_var"].reshape(channels)
    return _weighted((power + eps).rsqrt(), weight)


def _variance(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return x.var(axes, correction=0, keepdim=True)


def _weighted(scale: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return scale if weight is None else scale * weight


def _copied(given: Any) -> Any:
    return tree_map_only(torch.Tensor, torch.clone, given)

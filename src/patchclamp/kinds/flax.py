"""Flax layers, of linen and of nnx: a kernel's last axis is the neuron's, and channels come last.

Source: flax/linen and flax/nnx of google/flax. What `vmap` or an ensemble makes of a layer has one more axis in front of
every array, here `stack`. Grouped convolutions lie `*k in (group neuron)`. No formula recomputes them yet.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..frozen import replace
from .row import Kind

__all__ = ["PREFIX", "STACKED", "row"]

PREFIX = "flax."
STACKED = "flax.linen.vmap."
"""What stands before a layer's class where the file holds a stack of such layers in one array."""

_NNX = {"Linear": "Dense", "LinearGeneral": "DenseGeneral"}
"""The classes of nnx that linen calls otherwise."""
_STATISTICS = {"mean": "neuron", "var": "neuron"}
_SCALE = {"scale": "neuron", "bias": "neuron"}
_EPS = {"eps": "epsilon"}


@cache
def row(name: str) -> Kind | None:
    """The row of a class by its full name, `flax.linen.Dense`, `flax.nnx.Linear`; None for any other."""
    package, _, short = name.rpartition(".")
    if f"{package}." == STACKED:
        stacked = _stacked().get(short)
        return None if stacked is None else replace(stacked, name=name)
    folder = package.removeprefix(PREFIX).partition(".")[0]
    found = _rows().get(_NNX.get(short, short) if folder == "nnx" else short)
    return None if found is None or folder not in ("linen", "nnx") else replace(found, name=name)


@cache
def _rows() -> Mapping[str, Kind]:
    return {kind.title: kind for kind in _all()}


@cache
def _stacked() -> Mapping[str, Kind]:
    """The same with an axis in front of each array; a neuron is counted through the whole stack."""
    found = {}
    for kind in (_rows()[short] for short in ("Dense", "Embed", "LayerNorm", "RMSNorm", "BatchNorm")):
        arrays = {word: f"stack {line}" for word, line in kind.arrays.items()}
        found[kind.title] = replace(kind, arrays=arrays, neuron=("stack", "neuron"), input="", output="")
    return found


def _all() -> Iterator[Kind]:
    dense = _kind("Dense", {"kernel": "in neuron", "bias": "neuron"})
    yield dense
    heads = {"kernel": "in head neuron", "bias": "head neuron"}
    yield replace(_kind("DenseGeneral", heads), neuron=("head", "neuron"), output="*at head neuron")
    yield _kind(
        "Conv",
        {"kernel": "*k in (group neuron)", "bias": "(group neuron)"},
        neuron=("group", "neuron"),
        input="batch *at (group in)",
        output="batch *at (group neuron)",
        sizes={"group": "feature_group_count"},
        config={"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"},
        noun="filter",
    )
    yield _kind(
        "ConvTranspose",
        {"kernel": "*k in neuron", "bias": "neuron"},
        input="batch *at in",
        output="batch *at neuron",
        config={"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"},
        noun="filter",
    )
    yield _kind(
        "Embed",
        {"embedding": "token neuron"},
        input="*at",
        facets=("token",),
        noun="dimension",
        role="embedding",
    )
    yield _norm("BatchNorm", {**_SCALE, **_STATISTICS})
    yield _norm("LayerNorm", _SCALE)
    yield _norm("RMSNorm", {"scale": "neuron"})
    yield _norm("GroupNorm", _SCALE)


def _norm(short: str, arrays: Mapping[str, str]) -> Kind:
    return _kind(short, arrays, input="*at neuron", config=_EPS, noun="channel", role="norm")


def _kind(short: str, arrays: Mapping[str, str], **more: Any) -> Kind:
    return replace(Kind(f"flax.linen.{short}", "", arrays), **more)

"""Flax layers, of linen and of nnx: a kernel's last axis is the neuron's, and channels come last.

Source: flax/linen and flax/nnx of google/flax. What `vmap` or an ensemble makes of a layer has one more axis in front of
every array, here `stack`. Grouped convolutions lie `*k in (group neuron)`. A layer whose kernel may lie in several ways
says how in brackets: `flax.linen.DenseGeneral(in0 in1 neuron)`.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..frozen import replace
from .cells import flax_cell
from .row import Kind

__all__ = ["PREFIX", "STACKED", "row"]

PREFIX = "flax."
STACKED = "flax.linen.vmap."
"""What stands before a layer's class where the file holds a stack of such layers in one array."""

_NNX = {"Linear": "Dense", "LinearGeneral": "DenseGeneral"}
"""The classes of nnx that linen calls otherwise."""
_ATTENTIONS = ("MultiHeadAttention", "MultiHeadDotProductAttention", "SelfAttention")
_WRAPPERS = ("WeightNorm", "SpectralNorm")
_STATISTICS = {"mean": "neuron", "var": "neuron"}
_SCALE = {"scale": "neuron", "bias": "neuron"}
_WORDS = {
    **{"kernel": "weight", "embedding": "weight", "scale": "weight", "effective_kernel": "weight"},
    **{"mean": "running_mean", "var": "running_var"},
}
_CONV = {"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"}
_NORM = {"eps": "epsilon", "entering": "entering"}
_FAST = {"fast": "use_fast_variance"}
_CHANNELS = "batch *at neuron"


@cache
def row(name: str) -> Kind | None:
    """The row of a class by its full name, `flax.linen.Dense`, `flax.nnx.Linear`; None for any other.

    >>> row("flax.nnx.Linear").arrays["kernel"], row("flax.nnx.LinearGeneral(in neuron0 neuron1)").neuron
    ('in neuron', ('neuron0', 'neuron1'))
    """
    plain, _, lies = name.partition("(")
    package, _, short = plain.rpartition(".")
    if f"{package}." == STACKED:
        stacked = _stacked().get(short)
        return None if stacked is None else replace(stacked, name=name)
    folder = package.removeprefix(PREFIX).partition(".")[0]
    found = _rows().get(_NNX.get(short, short) if folder == "nnx" else short) or flax_cell(folder, short)
    if found is None or not package.startswith(PREFIX) or folder not in ("linen", "nnx"):
        return None
    return replace(_lying(found, lies.removesuffix(")")) if lies else found, name=name)


def _lying(kind: Kind, line: str) -> Kind:
    """The same, with a kernel of that line. The neuron's axes are those that are called so, and `head` and `group`."""
    if line == "computed":
        arrays = {"effective_kernel": kind.arrays["kernel"], "bias": kind.arrays["bias"]}
        return replace(kind, arrays=arrays)
    names = line.replace("(", "").replace(")", "").split()
    neuron = tuple(name for name in names if name.startswith(("neuron", "head", "group", "*neuron")))
    bias = " ".join(neuron) if "(group" not in line else "(group neuron)"
    output = kind.output if "*k" in line else f"*at {' '.join(neuron)}"
    known = "bias" in kind.arrays
    own = {"kernel": line, "bias": bias} if known else dict.fromkeys(kind.arrays, line)
    return replace(kind, arrays=own, neuron=neuron, output=output)


@cache
def _rows() -> Mapping[str, Kind]:
    return {kind.title: kind for kind in _all()}


@cache
def _stacked() -> Mapping[str, Kind]:
    """The same with an axis in front of each array; a neuron is counted through the whole stack."""
    found = {}
    for kind in (_rows()[short] for short in ("Dense", "Embed", "LayerNorm", "RMSNorm", "BatchNorm")):
        arrays = {word: f"stack {line}" for word, line in kind.arrays.items()}
        found[kind.title] = replace(kind, family="", arrays=arrays, neuron=("stack", "neuron"), input="", output="")
    return found


def _all() -> Iterator[Kind]:
    yield from _sums()
    yield from _convs()
    yield from _norms()
    yield _kind(
        "Embed",
        "embedding",
        {"embedding": "token neuron"},
        input="*at",
        facets=("token",),
        noun="dimension",
        role="embedding",
    )
    yield _kind("PReLU", "", {}, apart={"negative_slope": "the slope below zero, one for all"}, role="activation")
    cache = {"cached_key": "its keys so far", "cached_value": "its values so far", "cache_index": "how many these are"}
    for short in _ATTENTIONS:
        yield _kind(short, "", {}, apart=cache)
    yield _kind("RngStream", "", {}, apart={"count": "how many random keys it gave", "key": "its random key"})


def _sums() -> Iterator[Kind]:
    dense = _kind("Dense", "linear", {"kernel": "in neuron", "bias": "neuron"})
    yield dense
    # It gives its arrays to the cell around it, which works with them.
    yield replace(dense, name="flax.linen.DenseParams", family="", output="")
    heads = {"kernel": "in head neuron", "bias": "head neuron"}
    yield replace(
        _kind("DenseGeneral", "linear", heads), neuron=("head", "neuron"), output="*at head neuron", input="*at in"
    )
    yield _kind("Einsum", "", {"kernel": "in neuron", "bias": "neuron"}, input="", output="")
    effective = {"effective_kernel": "in neuron", "bias": "neuron"}
    yield _kind("LoRALinear", "linear", effective)
    yield _kind("LoRA", "linear", {"effective_kernel": "in neuron", "base_module.bias": "neuron"})


def _convs() -> Iterator[Kind]:
    yield _kind(
        "Conv",
        "conv",
        {"kernel": "*k in (group neuron)", "bias": "(group neuron)"},
        neuron=("group", "neuron"),
        input="batch *at (group in)",
        output="batch *at (group neuron)",
        sizes={"group": "feature_group_count"},
        config=_CONV,
        apart={"mask": "which weights of its kernel count"},
        noun="filter",
    )
    yield _kind(
        "ConvTranspose",
        "conv",
        {"kernel": "*k in neuron", "bias": "neuron"},
        input="batch *at in",
        output=_CHANNELS,
        config={**_CONV, "mirrored": "mirrored", "spread": "spread"},
        facts={"transposed": True},
        apart={"mask": "which weights of its kernel count"},
        noun="filter",
    )
    yield _kind(
        "ConvLocal",
        "",
        {"kernel": "*at in neuron", "bias": "*at neuron"},
        input="batch *at in",
        output=_CHANNELS,
        config=_CONV,
        noun="filter",
    )


def _norms() -> Iterator[Kind]:
    training = {**_NORM, **_FAST, "training": "training", "format": "format"}
    yield _norm("BatchNorm", "batch_norm", {**_SCALE, **_STATISTICS}, _CHANNELS, config=training)
    yield _norm("LayerNorm", "layer_norm", _SCALE)
    yield _norm("RMSNorm", "rms_norm", {"scale": "neuron"}, config=_NORM)
    yield _norm("InstanceNorm", "instance_norm", _SCALE, _CHANNELS)
    yield _norm(
        "GroupNorm",
        "group_norm",
        dict.fromkeys(_SCALE, "(group neuron)"),
        "batch *at (group neuron)",
        neuron=("group", "neuron"),
        sizes={"group": "group_count"},
    )
    for short in _WRAPPERS:
        yield _kind(
            short,
            "",
            {},
            apart={
                "scales.*": "what its layer's kernel is scaled to",
                "batch_stats.*": "of its power iteration",
            },
        )


def _norm(short: str, family: str, arrays: Mapping[str, str], line: str = "*at neuron", **more: Any) -> Kind:
    usual = {"input": line, "output": line, "config": {**_NORM, **_FAST}, "noun": "channel", "role": "norm"}
    return _kind(short, family, arrays, **{**usual, **more})


def _kind(short: str, family: str, arrays: Mapping[str, str], **more: Any) -> Kind:
    words = {word: spelled for word, spelled in _WORDS.items() if word in arrays}
    if "base_module.bias" in arrays:
        words["base_module.bias"] = "bias"
    return replace(Kind(f"flax.linen.{short}", family, arrays, words=words), **more)

"""Equinox layers: a weight's first axis is the neuron's, channels come first, and a layer is given one example.

Source: equinox/nn of patrick-kidger/equinox 0.13. A transposed convolution stores its kernel as an ordinary one does,
(group neuron) in *k, and slides it as it is over the input that was spread by the stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..frozen import replace
from .row import Kind, View

__all__ = ["PREFIX", "row"]

PREFIX = "equinox.nn."

_AFFINE = {"weight": "neuron", "bias": "neuron"}
_LSTM = "(gate{input forget cell output} neuron)"
_GRU = "(gate{reset update new} neuron)"
_CHANNELS = "batch neuron *at"
_AVERAGES = {"ema_state_index.0": "running_mean", "ema_state_index.1": "running_var"}
_HIDDEN = ("batch_state_index.0", "batch_state_index.1")
_INITIAL = "the state that the model starts with"


@cache
def row(name: str) -> Kind | None:
    """The row of a class by its public name, `equinox.nn.Linear`; None for any other."""
    return _rows().get(name.removeprefix(PREFIX))


@cache
def _rows() -> Mapping[str, Kind]:
    return {kind.name.removeprefix(PREFIX): kind for kind in _all()}


def _all() -> Iterator[Kind]:
    yield _kind("Linear", "linear", {"weight": "neuron in", "bias": "neuron"})
    for rank in (1, 2, 3):
        yield _conv(rank)
        yield _transposed(rank)
    yield _kind(
        "Embedding",
        "embedding",
        {"weight": "token neuron"},
        input="*at",
        facets=("token",),
        noun="dimension",
        role="embedding",
    )
    yield from _norms()
    slope = _kind(
        "PReLU(each)",
        "prelu",
        {"negative_slope": "neuron *one"},
        input=_CHANNELS,
        output=_CHANNELS,
        words={"negative_slope": "weight"},
        noun="channel",
        role="activation",
    )
    yield slope
    one = {"arrays": {"negative_slope": ""}, "neuron": (), "input": "*at", "output": "*at", "lone": "*at"}
    yield replace(slope, name=f"{PREFIX}PReLU(one)", **one)
    yield _cell("LSTMCell", _LSTM, {}, {"gives": "h c", "carry": "h c"})
    yield _cell("GRUCell", _GRU, {"bias_n": "neuron"}, {"gives": "h", "reset_after": True})
    yield _kind(
        "MultiheadAttention",
        "attention",
        {},
        sizes={"head": "num_heads"},
        views={
            "query": View("query_proj"),
            "key": View("key_proj"),
            "value": View("value_proj"),
            "output": View("output_proj", side="in", noun="output"),
        },
        noun="head",
    )


def _conv(rank: int) -> Kind:
    return _kind(
        f"Conv{rank}d",
        "conv",
        {"weight": "(group neuron) in *k", "bias": "(group neuron) *one"},
        input="batch (group in) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "groups"},
        config={"stride": "stride", "padding": "padding", "dilation": "dilation", "padding_mode": "mode"},
        noun="filter",
        rank=rank,
    )


def _transposed(rank: int) -> Kind:
    """`spread_padding` is the padding of the input that was spread, with the output's own padding in it."""
    config = {"stride": "stride", "padding": "spread_padding", "dilation": "dilation", "padding_mode": "mode"}
    facts = {"transposed": True, "mirrored": True, "spread": True}
    return replace(_conv(rank), name=f"{PREFIX}ConvTranspose{rank}d", config=config, facts=facts)


def _norms() -> Iterator[Kind]:
    eps = {"eps": "eps"}
    batch = {"input": _CHANNELS, "output": _CHANNELS, "config": eps, "noun": "channel", "role": "norm"}
    starts = {f"{name}.init.*": _INITIAL for name in ("ema_state_index", "batch_state_index")}
    counts = {
        "ema_first_time_index.*": "whether no batch was seen yet",
        "batch_counter.*": "a count of the batches seen",
        "ema_first_time_index": "whether no batch was seen yet",
        "batch_counter": "a count of the batches seen",
    }
    apart = {**starts, **counts}
    running = {"running_mean": "neuron", "running_var": "neuron", **dict.fromkeys(_HIDDEN, "neuron")}
    yield _kind("BatchNorm", "", _AFFINE, apart=apart, **batch)
    yield _kind(
        "BatchNorm(ema)", "batch_norm", {**_AFFINE, **dict.fromkeys(_AVERAGES, "neuron")}, words=_AVERAGES, apart=apart,
        **batch,
    )  # fmt: skip
    yield _kind("BatchNorm(batch)", "batch_norm", {**_AFFINE, **running}, apart=apart, **batch)
    yield _kind(
        "GroupNorm",
        "group_norm",
        {"weight": "(group neuron)", "bias": "(group neuron)"},
        input="batch (group neuron) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "groups", "(group neuron)": "channels"},
        config=eps,
        facts={"single": True},
        noun="channel",
        role="norm",
    )
    tail = {
        "input": "*at *neuron",
        "output": "*at *neuron",
        "neuron": ("*neuron",),
        "sizes": {"neuron": "shape"},
        "config": eps,
        "facts": {"single": True},
        "noun": "feature",
        "role": "norm",
    }
    lines = {"weight": "*neuron", "bias": "*neuron"}
    yield _kind("LayerNorm", "layer_norm", lines, **tail)
    yield _kind("RMSNorm", "rms_norm", lines, **tail)


def _cell(name: str, packed: str, more: dict[str, str], facts: dict[str, Any]) -> Kind:
    return _kind(
        name,
        "recurrent",
        {"weight_ih": f"{packed} in", "weight_hh": f"{packed} from", "bias": packed, **more},
        facets=("gate",),
        facts={"state": "hidden", "input": "input", **facts},
        noun="unit",
    )


def _kind(short: str, family: str, arrays: Mapping[str, str], **more: Any) -> Kind:
    return replace(Kind(f"{PREFIX}{short}", family, arrays), **more)

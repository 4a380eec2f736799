"""Convolutions: one filter, the same weights at every position of the output map."""

from __future__ import annotations

from .row import Kind

_CONFIG = {word: word for word in ("stride", "padding", "dilation", "padding_mode")}
_MAP = "batch (group neuron) *at"


def _conv(rank: int) -> Kind:
    return Kind(
        f"torch.nn.Conv{rank}d",
        "conv",
        {"weight": "(group neuron) in *k", "bias": "(group neuron)", "bias_map": "(group neuron) *at"},
        input="batch (group in) *at",
        output=_MAP,
        neuron=("group", "neuron"),
        sizes={"group": "groups"},
        config=_CONFIG,
        op=f"conv{rank}d",
        noun="filter",
        rank=rank,
    )


def _transposed(rank: int) -> Kind:
    return Kind(
        f"torch.nn.ConvTranspose{rank}d",
        "conv",
        {"weight": "(group in) neuron *k", "bias": "(group neuron)", "bias_map": "(group neuron) *at"},
        input="batch (group in) *at",
        output=_MAP,
        neuron=("group", "neuron"),
        sizes={"group": "groups"},
        config={**_CONFIG, "output_padding": "output_padding", "transposed": "transposed"},
        op=f"conv_transpose{rank}d",
        noun="filter",
        rank=rank,
    )


ROWS = (*map(_conv, (1, 2, 3)), *map(_transposed, (1, 2, 3)))

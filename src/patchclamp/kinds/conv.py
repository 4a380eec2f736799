"""Convolutions: one filter, the same weights at every position of the output map."""

from __future__ import annotations

from .row import Kind

_CONFIG = {word: word for word in ("stride", "padding", "dilation", "padding_mode")}


def _conv(rank: int, transposed: bool) -> Kind:
    return Kind(
        f"torch.nn.Conv{'Transpose' if transposed else ''}{rank}d",
        "conv",
        {
            "weight": "(group in) neuron *k" if transposed else "(group neuron) in *k",
            "bias": "(group neuron)",
            "bias_map": "(group neuron) *at",
        },
        input="batch (group in) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "groups"},
        config={**_CONFIG, "output_padding": "output_padding", "transposed": "transposed"} if transposed else _CONFIG,
        op=f"conv_transpose{rank}d" if transposed else f"conv{rank}d",
        noun="filter",
        rank=rank,
    )


ROWS = tuple(_conv(rank, transposed) for transposed in (False, True) for rank in (1, 2, 3))

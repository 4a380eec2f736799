"""Recurrent layers of Keras: a kernel is `in (gate neuron)`, and the gates of an LSTM come i f c o, those of a GRU z r h.

They are called as in torch, so that one address means one gate. Source: keras.layers.LSTM, GRU and SimpleRNN of Keras 3.
"""  # noqa: E501

from __future__ import annotations

from ..frozen import replace
from .row import Kind

__all__ = ["GATES", "RESET_BEFORE", "rows"]

RESET_BEFORE = "keras.layers.GRU:reset_before"
"""A GRU with `reset_after=False`, whose bias is of another shape: `kinds.keras.row` finds it by this name."""

GATES = {"LSTM": "input forget cell output", "GRU": "update reset new", "SimpleRNN": "hidden"}

_RUN = ("go_backwards", "return_sequences", "stateful", "zero_output_for_mask")
_LAYER = {"batch_first": True, "gives": "output h c", "state": "initial_state"}
_CELL = {"gives": "last h c", "state": "states"}


def rows() -> dict[str, Kind]:
    """Every recurrent layer and cell by the name it is found by.

    ConvLSTM, which no formula recomputes, stands with the convolutions.
    """
    found = {kind.name: kind for kind in (_kind(cell, suffix) for cell in GATES for suffix in ("", "Cell"))}
    for suffix in ("", "Cell"):
        before = found[f"keras.layers.GRU{suffix}"]
        arrays = {**before.arrays, "bias": before.arrays["bias"].removeprefix("side{input recurrent} ")}
        name = RESET_BEFORE.replace("GRU", f"GRU{suffix}")
        found[name] = replace(before, name=name, arrays=arrays)
    return found


def _kind(cell: str, suffix: str) -> Kind:
    packed = f"(gate{{{GATES[cell]}}} neuron)"
    bias = f"side{{input recurrent}} {packed}" if cell == "GRU" else packed
    own = {"input_dropout": "dropout", "recurrent_dropout": "recurrent_dropout", "activation": "activation"}
    if cell != "SimpleRNN":
        own["recurrent_activation"] = "recurrent_activation"
    if cell == "GRU":
        own["reset_after"] = "reset_after"
    return Kind(
        f"keras.layers.{cell}{suffix}",
        "recurrent",
        {"kernel": f"in {packed}", "recurrent_kernel": f"from {packed}", "bias": bias},
        sizes={"neuron": "units"},
        facets=("gate", "side") if cell == "GRU" else ("gate",),
        config=own if suffix else {**own, **{word: word for word in _RUN}},
        facts=_CELL if suffix else _LAYER,
        words={"kernel": "weight_ih", "recurrent_kernel": "weight_hh"},
        noun="unit",
    )

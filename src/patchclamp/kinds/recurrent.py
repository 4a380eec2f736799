"""Recurrent layers: a unit, its gates by name, and in a stack its layer and direction.

Gate orders are those of the framework's documentation (torch.nn.LSTM: i f g o; torch.nn.GRU: r z n).
"""

from __future__ import annotations

from .row import Kind, Part, Place

_GATES = {"LSTM": "input forget cell output", "GRU": "reset update new", "RNN": "hidden"}
_PLACES = (Place("layer", prefix="l"), Place("direction", ("forward", "reverse"), ("", "_reverse")))


def _arrays(cell: str) -> dict[str, str]:
    packed = f"(gate{{{_GATES[cell]}}} neuron)"
    return {"weight_ih": f"{packed} in", "weight_hh": f"{packed} from", "bias_ih": packed, "bias_hh": packed}


def _stack(cell: str) -> Kind:
    config = {"batch_first": "batch_first", "nonlinearity": "nonlinearity", "dropout": "dropout"}
    return Kind(
        f"torch.nn.{cell}",
        "recurrent",
        _arrays(cell),
        output="*at (direction neuron)",
        neuron=("layer", "direction", "neuron"),
        facets=("gate",),
        config=config if cell == "RNN" else {"batch_first": "batch_first", "dropout": "dropout"},
        noun="unit",
        suffix="_l{layer}{direction}",
        places=_PLACES,
        others={"proj": Part({"weight_hr": "neuron unit"}, "projection", ("layer", "direction", "neuron"))}
        if cell == "LSTM"
        else {},
    )


def _cell(cell: str) -> Kind:
    return Kind(
        f"torch.nn.{cell}Cell",
        "recurrent",
        _arrays(cell),
        facets=("gate",),
        config={"nonlinearity": "nonlinearity"} if cell == "RNN" else {},
        noun="unit",
    )


ROWS = (*map(_stack, _GATES), *map(_cell, _GATES))

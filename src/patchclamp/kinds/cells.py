"""Recurrent cells of Flax. Where a cell gives each gate a Dense of its own, that layer's kernel is the gate's array.

Source: flax/linen/recurrent.py and flax/nnx/nn/recurrent.py of google/flax 0.12. A carry of an LSTM is (c, h).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from .row import Kind

__all__ = ["flax_cell"]

_LSTM = {"input": "i", "forget": "f", "cell": "g", "output": "o"}
_GRU = {"reset": "r", "update": "z", "new": "n"}
_MGU = {"forget": "f", "new": "n"}
_ACTS = {"activation": "activation_fn", "recurrent_activation": "gate_fn"}
_FACTS = {"input": "inputs", "state": "carry", "carry": "c h", "gives": "c h last"}
"""A cell without c has a carry of h alone, and gives that and the output."""


@cache
def flax_cell(folder: str, short: str) -> Kind | None:
    """The row of a cell of `linen` or `nnx` by its class; None for what is none.

    >>> flax_cell("nnx", "LSTMCell").words["if_.kernel"], flax_cell("linen", "Dense")
    ('weight_ih.forget', None)
    """
    return _rows(folder).get(short)


def _rows(folder: str) -> Mapping[str, Kind]:
    apart = _apart(folder, "LSTMCell", _LSTM, ("hi", "hf", "hg", "ho"))
    reset = _GRU["reset"], _GRU["update"], _GRU["new"]
    if folder == "linen":
        gru = _apart(folder, "GRUCell", _GRU, (*(f"i{letter}" for letter in reset), "hn"))
        mgu = _apart(folder, "MGUCell", _MGU, ("if", "in", "hn"), {"reset_gate": "reset_gate"})
        found = [apart, _apart(folder, "OptimizedLSTMCell", _LSTM, ("hi", "hf", "hg", "ho")), gru, mgu]
        return {kind.title: kind for kind in (*found, _together(folder, "SimpleCell", ("hidden",), "i", "h"))}
    dense = ("dense_i", "dense_h")
    return {
        kind.title: kind
        for kind in (
            apart,
            _together(folder, "OptimizedLSTMCell", tuple(_LSTM), *dense, biased=dense[1]),
            _together(folder, "GRUCell", tuple(_GRU), *dense),
            _together(folder, "SimpleCell", ("hidden",), *dense),
        )
    }


def _apart(
    folder: str,
    short: str,
    letters: Mapping[str, str],
    biased: tuple[str, ...],
    config: Mapping[str, str] | None = None,
) -> Kind:
    """Each gate in layers of its own: `ii` weighs the input for the input gate, `hi` the state; some have a bias."""
    arrays: dict[str, str] = {}
    words: dict[str, str] = {}
    for side, end, axis in (("i", "ih", "in"), ("h", "hh", "from")):
        for gate, letter in letters.items():
            layer = f"{side}{letter}"
            # `if` cannot be an attribute.
            spelled = f"{layer}_" if layer == "if" and folder == "nnx" else layer
            arrays[f"{spelled}.kernel"], words[f"{spelled}.kernel"] = f"{axis} neuron", f"weight_{end}.{gate}"
            if layer in biased:
                arrays[f"{spelled}.bias"], words[f"{spelled}.bias"] = "neuron", f"bias_{end}.{gate}"
    return _kind(folder, short, arrays, words, f"gate{{{' '.join(letters)}}}", {**_ACTS, **(config or {})})


def _together(folder: str, short: str, gates: tuple[str, ...], reads: str, back: str, biased: str = "") -> Kind:
    """All gates in one layer for the input and one for the state."""
    packed = f"(gate{{{' '.join(gates)}}} neuron)"
    biased = biased or reads
    side = "ih" if biased == reads else "hh"
    arrays = {f"{reads}.kernel": f"in {packed}", f"{back}.kernel": f"from {packed}", f"{biased}.bias": packed}
    words = {f"{reads}.kernel": "weight_ih", f"{back}.kernel": "weight_hh", f"{biased}.bias": f"bias_{side}"}
    config: dict[str, Any] = {"activation": "activation_fn", "residual": "residual"} if len(gates) == 1 else _ACTS
    return _kind(folder, short, arrays, words, "gate", config)


def _kind(
    folder: str, short: str, arrays: Mapping[str, str], words: Mapping[str, str], facet: str, config: Mapping[str, str]
) -> Kind:
    return Kind(
        f"flax.{folder}.{short}",
        "recurrent",
        arrays,
        input="*at in",
        output="*at neuron",
        facets=(facet,),
        config=config,
        facts=_FACTS,
        words=words,
        noun="unit",
    )

"""Recurrent nodes: their arrays by torch's names, gates in torch's order, and what a node states of its equations."""

from __future__ import annotations

import re
from typing import Any

from ...frozen import replace
from ._claims import Claim, Inputs, Part, held
from ._nodes import Node
from ._tensors import Tensor

__all__ = ["GATES", "recurrent"]

_CELL = re.compile(r"(.*?)\.?weight_ih(_l\d+(?:_reverse)?)?\Z", re.DOTALL)
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Which gate of torch's order each gate of ONNX's is."""
_STORED = {op: tuple(order.index(gate) for gate in range(len(order))) for op, order in GATES.items()}
"""The other way round: where each gate of torch's order lies in the file."""
_ORDERS = {"input output forget cell": _STORED["LSTM"], "update reset new": _STORED["GRU"]}


def recurrent(node: Node, inputs: Inputs) -> Claim | None:
    gates = len(GATES[node.op])
    weight, back = held(inputs, 1), held(inputs, 2)
    if weight is None or back is None or len(weight.shape) != 3 or len(back.shape) != 3:
        return _in_torch_order(node, inputs)
    ways, rows, reads = weight.shape
    units = back.shape[2]
    if back.shape != (ways, rows, units) or rows != gates * units or ways not in (1, 2):
        return None
    words: dict[str, Part] = {}
    order = _STORED[node.op]
    bias, peephole = held(inputs, 3), held(inputs, 7)
    for way in range(ways):
        end = "_reverse" if way else ""
        words[f"weight_ih{end}"] = _window(weight, way * rows * reads, (rows, reads), order)
        words[f"weight_hh{end}"] = _window(back, way * rows * units, (rows, units), order)
        if bias is not None and bias.shape == (ways, 2 * rows):
            words[f"bias_ih{end}"] = _window(bias, 2 * way * rows, (rows,), order)
            words[f"bias_hh{end}"] = _window(bias, (2 * way + 1) * rows, (rows,), order)
        if node.op == "LSTM" and peephole is not None and peephole.shape == (ways, 3 * units):
            for place, gate in enumerate(("input", "output", "forget")):
                words[f"peephole_{gate}{end}"] = _window(peephole, (3 * way + place) * units, (units,))
    config = _rules(node)
    if config.get("direction") == "reverse":
        words = {word: replace(part, note=f"{part.note}; it runs in reverse") for word, part in words.items()}
    return Claim(f"onnx.{node.op}", words, stack=(units, ways, reads), reads=_ENTERING, config=config)


_ENTERING = {"X": 0, "initial_h": 5, "initial_c": 6, "sequence_lens": 4}


def _rules(node: Node) -> dict[str, Any]:
    """What a recurrent node states of its equations, and of how its states lie."""
    found = node.attributes()
    words = ("activations", "activation_alpha", "activation_beta", "clip", "direction")
    config = {word: found[word] for word in words if word in found}
    config |= {"batch_first": bool(node.number("layout", 0))}
    config |= {"reset_after": bool(node.number("linear_before_reset", 0))} if node.op == "GRU" else {}
    return config | ({"input_forget": bool(node.number("input_forget", 0))} if node.op == "LSTM" else {})


def _window(part: Part, first: int, shape: tuple[int, ...], order: tuple[int, ...] = ()) -> Part:
    stored = " ".join(name for name, letters in _ORDERS.items() if letters == order)
    note = f"its gates, in the file {stored}, are read in torch's order" if len(order) > 1 else ""
    return Part(part.tensor, part.name, shape, first, note, order)


def _in_torch_order(node: Node, inputs: Inputs) -> Claim | None:
    """Weights that the graph itself puts into ONNX's order before it uses them: stored are torch's own arrays."""
    value = inputs[1] if len(inputs) > 1 else None
    if value is None or value.reshaped or value.turned:
        return None
    order = GATES[node.op]
    ways: dict[Tensor, list[int]] = {}
    for piece in value.pieces:
        units, left = divmod(piece.tensor.shape[0] if piece.tensor.shape else 0, len(order))
        if left or not units or piece.start % units or piece.stop % units:
            return None
        ways.setdefault(piece.tensor, []).extend(range(piece.start // units, piece.stop // units))
    stated = {}
    for tensor, blocks in ways.items():
        name = _CELL.match(tensor.name)
        if name is None or tuple(blocks) != order:
            return None
        stated[name[1]] = f"torch.nn.{node.op}{'' if name[2] else 'Cell'}"
    return Claim(
        "", {}, stated=stated, reads=_ENTERING, config={**_rules(node), "stated": sorted(set(stated.values()))}
    )

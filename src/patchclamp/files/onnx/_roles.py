"""Which inputs of a node are which arrays of a layer, and which kind of layer that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...frozen import dataclass, field, replace
from ._follow import Value
from ._nodes import Node
from ._tensors import Tensor

__all__ = ["BIASES", "ROLES", "Claim", "Part", "addend", "held"]

Inputs = list[Value | None]
_CAST = "the graph rounds, casts or decodes it before it is used"


@dataclass(frozen=True, slots=True)
class Part:
    """An array of a layer: a tensor, or the numbers of one from `first` on; what the file calls it where it is used.

    `order` is how blocks of its first axis are taken from the file, where that is not as they lie.
    """

    tensor: Tensor
    name: str
    shape: tuple[int, ...]
    first: int = 0
    note: str = ""
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A layer that a node is: its kind, arrays by word, what it says of itself.

    stack    for recurrent layers: (units, directions, what it reads); others have none
    stated   layers whose arrays go by their own names, and the kinds of those
    reads    argument -> which of the node's inputs that is
    config   what holds for this node alone, where others may share its arrays
    """

    kind: str
    words: dict[str, Part]
    said: dict[str, Any] = field(default_factory=dict)
    stack: tuple[int, int, int] | None = None
    stated: dict[str, str] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=lambda: {"input": 0})
    config: dict[str, Any] = field(default_factory=dict)


def addend(inputs: Inputs, place: int, *, columns: bool = False) -> Part | None:
    """A vector along the last axis of what it is added to, or with `columns` the last but one: there the neurons are.

    One along another axis is no bias of neurons.
    """
    part = held(inputs, place, vector=True)
    shape = part.tensor.shape if part is not None else ()
    if columns:
        shape = shape[:-1] if shape[-1:] == (1,) else (0,)
    return part if part is None or not shape or shape[-1] == part.tensor.count else None


def held(inputs: Inputs, place: int, *, vector: bool = False) -> Part | None:
    """A whole tensor at an input; a vector whatever axes of one it has beside its own."""
    value = inputs[place] if place < len(inputs) else None
    tensor = value.whole if value is not None else None
    if value is None or tensor is None or value.turned or (value.reshaped and not vector):
        return None
    shape = tensor.shape
    if vector:
        if sum(extent != 1 for extent in shape) > 1:
            return None
        shape = (tensor.count,)
    return Part(tensor, value.name, shape, note=_CAST if value.cast else "")


def _words(inputs: Inputs, places: dict[str, int], *, vector: bool = True) -> dict[str, Part]:
    found = {word: held(inputs, place, vector=vector) for word, place in places.items()}
    return {word: part for word, part in found.items() if part is not None}


def _conv(node: Node, inputs: Inputs) -> Claim | None:
    weight = held(inputs, 1)
    if weight is None or len(weight.shape) < 3:
        return None
    words = {"weight": weight}
    words |= {} if node.op == "ConvInteger" else _words(inputs, {"bias": 2})
    reads = {"input": 0, "input_zero": 2, "weight_zero": 3} if node.op == "ConvInteger" else {"input": 0}
    name = node.op if node.op != "FusedConv" else "Conv"
    said = _geometry(node, len(weight.shape) - 2)
    config = {**said, **_fused(node)}
    if "stride" not in said:
        auto = node.attributes().get("auto_pad", "NOTSET")
        config |= {**_strides(node, len(weight.shape) - 2), "kernel": weight.shape[2:], "auto_pad": auto}
    return Claim(f"onnx.{name}", words, said, reads=reads, config=config)


def _fused(node: Node) -> dict[str, Any]:
    """What a fused node does beside its sum, as the cause of a difference."""
    curve = node.attributes().get("activation", b"")
    return {"opaque": f"the node {node.op} applies {curve} to its sum"} if isinstance(curve, str) and curve else {}


def _quantised_conv(node: Node, inputs: Inputs) -> Claim | None:
    weight = _steps(inputs, 3, 0)
    if weight is None or len(weight.shape) < 3:
        return None
    said = _geometry(node, len(weight.shape) - 2)
    words = {"weight": weight, **_sum_of_codes(inputs, 8, (1, 4))}
    return Claim("onnx.QLinearConv", words, said, reads=_QLINEAR, config=said)


def _sum_of_codes(inputs: Inputs, place: int, steps: tuple[int, int]) -> dict[str, Part]:
    """The bias of a sum of codes: its step is the product of those of what enters and of the weights."""
    bias = held(inputs, place, vector=True)
    entering, weights = (held(inputs, step) for step in steps)
    if bias is None:
        return {}
    if entering is None or weights is None or entering.tensor.count != 1:
        return {"bias": bias}
    scale = weights.tensor.scaled(entering.tensor)
    made = bias.tensor.decoded(scale, None, 0) if scale is not None and scale.count in (1, bias.tensor.count) else None
    return {"bias": bias if made is None else Part(made, bias.name, bias.shape)}


def _qgemm(node: Node, inputs: Inputs) -> Claim | None:
    """ONNX Runtime's Gemm of codes."""
    turned = node.number("transB", 0) != 0
    weight = _steps(inputs, 3, 0 if turned else 1)
    if weight is None or len(weight.shape) != 2:
        return None
    alpha = node.real("alpha", 1.0)
    config = {"alpha": alpha} if alpha != 1 else {}
    sides: dict[str, Any] = {"turned": ("input",)} if node.number("transA", 0) else {}
    reads = {"input": 0, "input_scale": 1, "input_zero": 2, "output_scale": 7, "output_zero": 8}
    words = {"weight": weight, **_sum_of_codes(inputs, 6, (1, 4))}
    return Claim(f"onnx.QGemm{'(turned)' if turned else ''}", words, reads=reads, config={**config, **sides})


_AUTO = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower"}


def _geometry(node: Node, rank: int) -> dict[str, Any]:
    """The settings of a convolution. Of a transposed one that is told the size of its output, none are stated."""
    attributes = node.attributes()
    said: dict[str, Any] = {"groups": node.number("group", 1)}
    pads, auto = node.numbers("pads") or (0,) * (2 * rank), attributes.get("auto_pad", "NOTSET")
    transposed = node.op == "ConvTranspose"
    if len(pads) != 2 * rank or (transposed and (auto in _AUTO or "output_shape" in attributes)):
        return said
    sides = tuple(zip(pads[:rank], pads[rank:], strict=True))
    even = all(before == after for before, after in sides)
    said["padding"] = _AUTO.get(auto) or ((0,) * rank if auto == "VALID" else pads[:rank] if even else sides)
    return {**said, **_strides(node, rank)}


def _strides(node: Node, rank: int) -> dict[str, Any]:
    steps = {"stride": node.numbers("strides") or (1,) * rank, "dilation": node.numbers("dilations") or (1,) * rank}
    if node.op == "ConvTranspose":
        steps["output_padding"] = node.numbers("output_padding") or (0,) * rank
    return steps


def _gemm(node: Node, inputs: Inputs) -> Claim | None:
    claim = _product(inputs, 1, node.number("transB", 0) != 0, "Gemm")
    if claim is None:
        return None
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    weight = claim.words["weight"]
    scaled = f"the node multiplies its sum by {alpha:g}" if alpha != 1 else ""
    words = {"weight": replace(weight, note="; ".join(filter(None, (weight.note, scaled))))}
    bias = addend(inputs, 2)
    if bias is not None and bias.tensor.count == weight.shape[0 if claim.kind.endswith("(turned)") else -1]:
        words["bias"] = replace(bias, note=f"times {beta:g} in the node" if beta != 1 else "")
    config: dict[str, Any] = _fused(node)
    config |= {"alpha": alpha} if alpha != 1 else {}
    config |= {"beta": beta} if beta != 1 else {}
    if node.number("transA", 0):
        config["turned"] = ("input",)
    if "bias" not in words and len(node.inputs) > 2 and node.inputs[2]:
        config["opaque"] = f"the node adds {node.inputs[2]!r}, which has no number for each neuron"
    return Claim(claim.kind, words, config=config)


def _matmul(node: Node, inputs: Inputs) -> Claim | None:
    """A product; where the weight stands on the left, each column of what enters is read by every neuron."""
    left = len(inputs) > 1 and inputs[1] is None and inputs[0] is not None
    name = "MatMulInteger" if node.op == "MatMulInteger" else "MatMul"
    turned = node.number("transA", 0) == 0 if left else node.number("transB", 0) != 0
    claim = _product(inputs, 0 if left else 1, turned, name)
    if claim is None:
        return None
    across = node.number("transB" if left else "transA", 0) != 0
    sides = (*(("input",) if left != across else ()), *(("output",) if left else ()))
    alpha = node.real("alpha", 1.0)
    config: dict[str, Any] = {"turned": sides} if sides else {}
    config |= {"alpha": alpha} if alpha != 1 else {}
    if node.number("transBatchA", 0) or node.number("transBatchB", 0):
        config["opaque"] = f"the node {node.op} moves the first axis of what enters"
    reads = {"input": 1 if left else 0}
    if name == "MatMulInteger":
        reads |= {"input_zero": 3, "weight_zero": 2} if left else {"input_zero": 2, "weight_zero": 3}
    return replace(claim, reads=reads, config=config)


def _product(inputs: Inputs, place: int, turned: bool, name: str) -> Claim | None:
    """A matrix that multiplies what enters."""
    value = inputs[place] if place < len(inputs) else None
    tensor = value.whole if value is not None and not value.reshaped else None
    if value is None or tensor is None or len(tensor.shape) != 2:
        return None
    lies = "(turned)" if turned != value.turned else ""
    note = _CAST if value.cast else ""
    return Claim(f"onnx.{name}{lies}", {"weight": Part(tensor, value.name, tensor.shape, note=note)})


def _quantised_matmul(node: Node, inputs: Inputs) -> Claim | None:
    weight = _steps(inputs, 3, 1)
    if weight is None or len(weight.shape) != 2:
        return None
    return Claim("onnx.QLinearMatMul", {"weight": weight}, reads=_QLINEAR)


_QLINEAR = {"input": 0, "input_scale": 1, "input_zero": 2, "output_scale": 6, "output_zero": 7}


def _steps(inputs: Inputs, place: int, axis: int) -> Part | None:
    """Codes with the scale and the zero point that follow them among the inputs, as the numbers they stand for."""
    codes = held(inputs, place)
    scale, zero = held(inputs, place + 1), held(inputs, place + 2)
    if codes is None or scale is None:
        return codes
    made = codes.tensor.decoded(scale.tensor, zero.tensor if zero is not None else None, axis)
    return codes if made is None else Part(made, codes.name, made.shape)


def _norm(kind: str, places: dict[str, int]) -> Callable[[Node, Inputs], Claim | None]:
    """A normalisation. One that first adds what skipped some layers has no formula: its kind says so."""

    def claim(node: Node, inputs: Inputs) -> Claim | None:
        features = kind.endswith(("LayerNormalization", "RMSNormalization"))
        words = _words(inputs, places, vector=not features)
        if "weight" not in words:
            return None
        said: dict[str, Any] = {"eps": node.real("epsilon", 1e-12 if node.domain else 1e-5)}
        if features:
            said["normalized_shape"] = words["weight"].shape
        if kind == "GroupNormalization":
            said["num_groups"] = node.number("num_groups", 1)
        if kind == "BatchNormalization" and node.number("training_mode", 0):
            said["training"] = True
        return Claim(f"onnx.{kind}", words, said)

    return claim


def _gather(node: Node, inputs: Inputs) -> Claim | None:
    table = held(inputs, 0)
    if table is None or len(table.shape) != 2 or node.number("axis", 0) or not _floating(table.tensor):
        return None
    return Claim("onnx.Gather", {"weight": table}, reads={"input": 1})


def _floating(tensor: Tensor) -> bool:
    return "float" in tensor.dtype


def _slope(node: Node, inputs: Inputs) -> Claim | None:
    words = _words(inputs, {"weight": 1})
    shape = words["weight"].tensor.shape if words else ()
    last = len(shape) > 0 and shape[-1] == words["weight"].tensor.count > 1
    return Claim("onnx.PRelu", words, {"format": "channels_last"} if last else {}) if words else None


def _attention(node: Node, inputs: Inputs) -> Claim | None:
    """The packed projection of ONNX Runtime's attention."""
    weight, bias = held(inputs, 1), held(inputs, 2, vector=True)
    if node.op == "QAttention" and weight is not None:
        scale, zero = held(inputs, 4), held(inputs, 7)
        made = weight.tensor.decoded(scale.tensor, zero.tensor if zero else None, 1) if scale is not None else None
        weight = Part(made, weight.name, made.shape) if made is not None else weight
    heads = node.number("num_heads", 0)
    if weight is None or len(weight.shape) != 2 or heads < 1 or len(set(node.numbers("qkv_hidden_sizes"))) > 1:
        return None
    words = {"in_proj_weight": weight, **({"in_proj_bias": bias} if bias is not None else {})}
    return Claim("onnx.Attention", words, {"num_heads": heads})


_CELL = re.compile(r"(.*?)\.?weight_ih(_l\d+(?:_reverse)?)?\Z", re.DOTALL)
_TORCH = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Which gate of torch's order each gate of ONNX's is."""
_STORED = {op: tuple(order.index(gate) for gate in range(len(order))) for op, order in _TORCH.items()}
"""The other way round: where each gate of torch's order lies in the file."""
_ORDERS = {"input output forget cell": _STORED["LSTM"], "update reset new": _STORED["GRU"]}


def _recurrent(node: Node, inputs: Inputs) -> Claim | None:
    gates = len(_TORCH[node.op])
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
    order = _TORCH[node.op]
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


BIASES = {"Add", "BiasGelu", "FastGelu", "BiasAdd"}
"""Nodes that add a vector to what a product gave."""
_SCALED = {"weight": 1, "bias": 2}
ROLES: dict[str, Callable[[Node, Inputs], Claim | None]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "FusedConv"), _conv),
    "QLinearConv": _quantised_conv,
    **dict.fromkeys(("Gemm", "FusedGemm"), _gemm),
    "QGemm": _qgemm,
    **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger"), _matmul),
    "QLinearMatMul": _quantised_matmul,
    "BatchNormalization": _norm("BatchNormalization", {**_SCALED, "running_mean": 3, "running_var": 4}),
    "InstanceNormalization": _norm("InstanceNormalization", _SCALED),
    "GroupNormalization": _norm("GroupNormalization", _SCALED),
    "LayerNormalization": _norm("LayerNormalization", _SCALED),
    "SkipLayerNormalization": _norm("SkipLayerNormalization", {"weight": 2, "bias": 3}),
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), _norm("RMSNormalization", {"weight": 1})),
    "SkipSimplifiedLayerNormalization": _norm("SkipRMSNormalization", {"weight": 2}),
    "Gather": _gather,
    "PRelu": _slope,
    **dict.fromkeys(("Attention", "QAttention"), _attention),
    **dict.fromkeys(_TORCH, _recurrent),
}

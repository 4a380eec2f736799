"""Nodes that are weighted sums: which inputs are their weights and biases, and what each node does beside the sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...frozen import replace
from ._claims import CAST, FIRST, NOTHING, SECOND, Claim, Inputs, Part, addend, held, words_of
from ._nodes import Node

__all__ = ["conv", "gemm", "matmul", "qgemm", "quantised_conv", "quantised_matmul"]


def conv(node: Node, inputs: Inputs) -> Claim | None:
    weight = held(inputs, 1)
    if weight is None or len(weight.shape) < 3:
        return None
    words = {"weight": weight}
    words |= {} if node.op == "ConvInteger" else words_of(inputs, {"bias": 2})
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


def quantised_conv(node: Node, inputs: Inputs) -> Claim | None:
    weight = steps(inputs, 3, 0)
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


def qgemm(node: Node, inputs: Inputs) -> Claim | None:
    """ONNX Runtime's Gemm of codes."""
    turned = node.number("transB", 0) != 0
    weight = steps(inputs, 3, 0 if turned else 1)
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


def gemm(node: Node, inputs: Inputs) -> Claim | None:
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


def matmul(node: Node, inputs: Inputs) -> Claim | None:
    """A product; where the weight stands on the left, each column of what enters is read by every neuron."""
    left = len(inputs) > 1 and inputs[1] is None and inputs[0] is not None
    reads = SECOND if left else FIRST
    if node.op == "MatMul":
        claim = _product(inputs, 0 if left else 1, left, "MatMul")
        return claim if claim is None or not left else replace(claim, reads=reads, config=_BOTH)
    if node.op == "MatMulInteger":
        claim = _product(inputs, 0 if left else 1, left, "MatMulInteger")
        zeros = {"input_zero": 3, "weight_zero": 2} if left else {"input_zero": 2, "weight_zero": 3}
        return claim and replace(claim, reads={**reads, **zeros}, config=_BOTH if left else NOTHING)
    return _fused_matmul(node, inputs, left)


_BOTH: Mapping[str, Any] = {"turned": ("input", "output")}


def _fused_matmul(node: Node, inputs: Inputs, left: bool) -> Claim | None:
    """ONNX Runtime's product, which may turn what it is given and multiplies it by a number."""
    turned = node.number("transA", 0) == 0 if left else node.number("transB", 0) != 0
    claim = _product(inputs, 0 if left else 1, turned, "MatMul")
    across = node.number("transB" if left else "transA", 0) != 0
    sides = (*(("input",) if left != across else ()), *(("output",) if left else ()))
    alpha = node.real("alpha", 1.0)
    config: dict[str, Any] = {"turned": sides} if sides else {}
    config |= {"alpha": alpha} if alpha != 1 else {}
    if node.number("transBatchA", 0) or node.number("transBatchB", 0):
        config["opaque"] = f"the node {node.op} moves the first axis of what enters"
    return claim and replace(claim, reads=SECOND if left else FIRST, config=config)


def _product(inputs: Inputs, place: int, turned: bool, name: str) -> Claim | None:
    """A matrix that multiplies what enters."""
    value = inputs[place] if place < len(inputs) else None
    tensor = value.whole if value is not None and not value.reshaped else None
    if value is None or tensor is None or len(tensor.shape) != 2:
        return None
    lies = "(turned)" if turned != value.turned else ""
    note = CAST if value.cast else ""
    return Claim(f"onnx.{name}{lies}", {"weight": Part(tensor, value.name, tensor.shape, note=note)})


def quantised_matmul(node: Node, inputs: Inputs) -> Claim | None:
    weight = steps(inputs, 3, 1)
    if weight is None or len(weight.shape) != 2:
        return None
    return Claim("onnx.QLinearMatMul", {"weight": weight}, reads=_QLINEAR)


_QLINEAR = {"input": 0, "input_scale": 1, "input_zero": 2, "output_scale": 6, "output_zero": 7}


def steps(inputs: Inputs, place: int, axis: int) -> Part | None:
    """Codes with the scale and the zero point that follow them among the inputs, as the numbers they stand for."""
    codes = held(inputs, place)
    scale, zero = held(inputs, place + 1), held(inputs, place + 2)
    if codes is None or scale is None:
        return codes
    made = codes.tensor.decoded(scale.tensor, zero.tensor if zero is not None else None, axis)
    return codes if made is None else Part(made, codes.name, made.shape)

"""Which inputs of a node are which arrays of a layer, and which kind of layer that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._claims import SECOND, Claim, Inputs, Part, held, words_of
from ._nodes import Node
from ._recurrent import GATES, recurrent
from ._sums import conv, gemm, matmul, qgemm, quantised_conv, quantised_matmul
from ._tensors import Tensor

__all__ = ["BIASES", "ROLES"]


def _norm(kind: str, places: dict[str, int]) -> Callable[[Node, Inputs], Claim | None]:
    """A normalisation. One that first adds what skipped some layers has no formula: its kind says so."""

    def claim(node: Node, inputs: Inputs) -> Claim | None:
        features = kind.endswith(("LayerNormalization", "RMSNormalization"))
        words = words_of(inputs, places, vector=not features)
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
    return Claim("onnx.Gather", {"weight": table}, reads=SECOND)


def _floating(tensor: Tensor) -> bool:
    return "float" in tensor.dtype


def _slope(node: Node, inputs: Inputs) -> Claim | None:
    words = words_of(inputs, {"weight": 1})
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


BIASES = {"Add", "BiasGelu", "FastGelu", "BiasAdd"}
"""Nodes that add a vector to what a product gave."""
_SCALED = {"weight": 1, "bias": 2}
ROLES: dict[str, Callable[[Node, Inputs], Claim | None]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "FusedConv"), conv),
    "QLinearConv": quantised_conv,
    **dict.fromkeys(("Gemm", "FusedGemm"), gemm),
    "QGemm": qgemm,
    **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger"), matmul),
    "QLinearMatMul": quantised_matmul,
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
    **dict.fromkeys(GATES, recurrent),
}

"""Small valid ONNX files, made by the reference writer: every way that numbers, bodies and layers are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["model", "samples", "tensor", "typed"]

_RNG = np.random.default_rng(4)


def tensor(name: str, *shape: int, dtype: Any = np.float32) -> TensorProto:
    """Random numbers as raw bytes."""
    return numpy_helper.from_array(_RNG.standard_normal(shape).astype(dtype), name)


def model(nodes: list[Any], initializers: list[TensorProto], **more: Any) -> onnx.ModelProto:
    """A model of these nodes; nothing checks that it could run."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers, **more)
    return helper.make_model(graph, producer_name="samples", ir_version=10)


def _layers() -> onnx.ModelProto:
    nodes = [
        helper.make_node(
            "Conv", ["x", "conv.weight", "conv.bias"], ["a"], name="/conv/Conv", group=2, pads=[1, 1, 1, 1]
        ),
        helper.make_node(
            "BatchNormalization", ["a", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], ["b"]
        ),
        helper.make_node("MatMul", ["b", "onnx::MatMul_7"], ["c"], name="/encoder/layer.0/query/MatMul"),
        helper.make_node("Add", ["c", "encoder.layer.0.query.bias"], ["d"], name="/encoder/layer.0/query/Add"),
        helper.make_node("Gemm", ["d", "fc.weight", "fc.bias"], ["e"], name="/fc/Gemm", transB=1, alpha=0.5),
        helper.make_node(
            "LSTM", ["e", "W", "R", "B"], ["y"], name="/lstm/LSTM", hidden_size=2, direction="bidirectional"
        ),
    ]
    initializers = [
        tensor("conv.weight", 4, 1, 3, 3),
        tensor("conv.bias", 4),
        *(tensor(f"bn.{word}", 4) for word in ("weight", "bias", "running_mean", "running_var")),
        tensor("onnx::MatMul_7", 4, 6),
        tensor("encoder.layer.0.query.bias", 6),
        tensor("fc.weight", 5, 6),
        tensor("fc.bias", 5),
        tensor("W", 2, 8, 5),
        tensor("R", 2, 8, 2),
        tensor("B", 2, 16),
    ]
    return model(nodes, initializers)


TYPES = (
    *(
        "FLOAT",
        "DOUBLE",
        "FLOAT16",
        "BFLOAT16",
        "INT8",
        "UINT8",
        "INT16",
        "UINT16",
        "INT32",
        "UINT32",
        "INT64",
        "UINT64",
    ),
    *("BOOL", "COMPLEX64", "COMPLEX128", "FLOAT8E4M3FN", "FLOAT8E5M2", "INT4", "UINT4", "FLOAT4E2M1"),
)
"""Every type whose numbers are read."""


def typed(raw: bool) -> onnx.ModelProto:
    """One tensor of each type: its bytes as they are, or in the field that the type has."""
    made = []
    for name in TYPES:
        kind = getattr(TensorProto, name)
        numbers = np.array([[0, 1, 1], [3, 1, 0], [2, 6, 4]], np.float64 if name != "BOOL" else np.bool_)
        if name.startswith(("INT", "FLOAT", "DOUBLE", "BFLOAT", "COMPLEX")) and "8E8" not in name:
            numbers = numbers * np.array([1, -1, 1])
        if name.startswith("COMPLEX"):
            numbers = numbers + 2j * numbers.T
        values = numbers.astype(helper.tensor_dtype_to_np_dtype(kind))
        if raw:
            made.append(numpy_helper.from_array(values, f"{name}.raw"))
        elif not name.startswith(("FLOAT8", "FLOAT4", "BFLOAT")):
            made.append(helper.make_tensor(f"{name}.fields", kind, values.shape, values.flatten()))
    made.append(helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"b"]))
    return model([], made)


def _bodies() -> onnx.ModelProto:
    def branch(name: str, scale: float) -> onnx.GraphProto:
        value = numpy_helper.from_array(np.full((3, 2), scale, np.float32), "w")
        nodes = [
            helper.make_node("Constant", [], ["w"], value=value),
            helper.make_node("Constant", [], [f"{name}_list"], value_floats=[1.0, 2.0, scale]),
            helper.make_node("Constant", [], [f"{name}_axes"], value_ints=[0, 1]),
            helper.make_node("MatMul", ["x", "w"], [f"{name}_y"], name="dense"),
        ]
        outputs = [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)]
        return helper.make_graph(nodes, name, [], outputs, [tensor(f"{name}.table", 2, 3)])

    node = helper.make_node(
        "If", ["x"], ["y"], name="choose", then_branch=branch("a", 1.0), else_branch=branch("b", 2.0)
    )
    values, places = tensor("thin", 2), numpy_helper.from_array(np.array([1, 5], np.int64))
    sparse = helper.make_sparse_tensor(values, places, [9])
    return model([node], [], sparse_initializer=[sparse])


def _quantised() -> onnx.ModelProto:
    codes = numpy_helper.from_array(_RNG.integers(-128, 127, (3, 4, 1, 2), np.int8), "conv.codes")
    nibbles = helper.make_tensor("low.codes", TensorProto.INT4, [4, 3], [1, -8, 7, 0, 1, 2, 3, 4, 5, -1, -2, -3])
    zeros = numpy_helper.from_array(np.array([1, -2, 0], np.int8), "conv.zero")
    nodes = [
        helper.make_node("DequantizeLinear", ["conv.codes", "conv.scale", "conv.zero"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["a"], name="/conv/Conv"),
        helper.make_node("DequantizeLinear", ["low.codes", "low.scale"], ["v"], axis=1),
        helper.make_node("MatMul", ["a", "v"], ["y"], name="/low/MatMul"),
    ]
    scales = [tensor("conv.scale", 3), tensor("low.scale", 3)]
    return model(nodes, [codes, zeros, nibbles, *scales])


def _functions() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["kept"], value=tensor("kept", 2, 2))
    inside = [constant, helper.make_node("MatMul", ["a", "kept"], ["b"])]
    imports = [helper.make_opsetid("", 18)]
    function = helper.make_function("own", "Block", ["a"], ["b"], inside, imports)
    made = model([helper.make_node("Block", ["x"], ["y"], domain="own")], [tensor("w", 2)])
    made.functions.append(function)
    return made


def samples(folder: Path) -> list[Path]:
    """Write the files; those of `outside.onnx` has its numbers in a file beside it."""
    made = {
        "layers": _layers(),
        "raw": typed(True),
        "fields": typed(False),
        "bodies": _bodies(),
        "quantised": _quantised(),
        "functions": _functions(),
    }
    paths = []
    for name, content in made.items():
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(content.SerializeToString())
    paths.append(folder / "outside.onnx")
    onnx.save(_layers(), paths[-1], save_as_external_data=True, location="outside.bin", size_threshold=32)
    return paths

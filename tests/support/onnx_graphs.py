"""Graphs of one operator, as exporters write them, and what onnxruntime itself makes of them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import patchclamp

OPSET = 18


def floats(*shape: int, seed: int = 0, size: float = 1.0) -> Any:
    return (np.random.default_rng(seed + sum(shape)).standard_normal(shape) * size).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Any],
    weights: Mapping[str, Any],
    outputs: Sequence[str] = ("y",),
    opset: int = OPSET,
    more: Sequence[Any] = (),
) -> onnx.ModelProto:
    """A model: inputs name -> an example, weights name -> numbers."""
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.asarray(x).dtype), np.shape(x))
        for name, x in inputs.items()
    ]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    left = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(list(nodes), "g", given, left, held)
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=sets, ir_version=9)
    made.functions.extend(more)
    return made


def saved(folder: Path, made: onnx.ModelProto, name: str = "model.onnx") -> str:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return str(path)


def session(made: onnx.ModelProto, extra: Sequence[str] = ()) -> Any:
    """onnxruntime's own session, with some inner tensors as outputs too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(made)
    there = {item.name for item in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra if name not in there)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ran(made: onnx.ModelProto, inputs: Mapping[str, Any], *names: str) -> list[Any]:
    """Tensors of the graph as onnxruntime gives them."""
    return session(made, names).run(list(names), dict(inputs))  # type: ignore[no-any-return]


def exported(module: Any, x: Any, folder: Path, **settings: Any) -> str:
    """A torch module as torch's own exporter writes it."""
    torch = importlib.import_module("torch")
    path = str(folder / "exported.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), x if isinstance(x, tuple) else (x,), path, **{"dynamo": False, **settings})
    return path


X = floats(5, 4)
W = {"w": floats(4, 3), "b": floats(3, seed=1)}


def info(name: str, kind: int = TensorProto.FLOAT) -> Any:
    found = onnx.ValueInfoProto(name=name)
    found.type.tensor_type.elem_type = kind
    return found


def body(nodes: Any, outputs: Any, weights: Any = (), inputs: Any = ()) -> Any:
    held = [numpy_helper.from_array(value, name) for name, value in dict(weights).items()]
    return helper.make_graph(nodes, "body", list(inputs), list(outputs), held)


def branches(folder: Path, deep: bool = False) -> tuple[Any, Any]:
    """An If whose branches hold a layer each, as silero-vad has them; `deep` puts it into another If."""
    then = body(
        [
            helper.make_node("Constant", [], ["w1"], value=numpy_helper.from_array(W["w"])),
            helper.make_node("MatMul", ["x", "w1"], ["m1"], name="first"),
            helper.make_node("Relu", ["m1"], ["r1"]),
        ],
        [info("r1")],
    )
    other = body(
        [helper.make_node("Gemm", ["x", "w2", "b2"], ["m2"], name="second"), helper.make_node("Tanh", ["m2"], ["r2"])],
        [info("r2")],
        {"w2": floats(4, 3, seed=7), "b2": floats(3, seed=8)},
    )
    inner = helper.make_node("If", ["c"], ["h"], then_branch=then, else_branch=other, name="choice")
    nodes = [inner, helper.make_node("Neg", ["h"], ["y"])]
    inputs: dict[str, Any] = {"x": X, "c": np.array(True)}
    if deep:
        outside = body([inner], [info("h")])
        skip = body(
            [helper.make_node("MatMul", ["x", "w3"], ["z"], name="third")], [info("z")], {"w3": floats(4, 3, seed=6)}
        )
        nodes = [helper.make_node("If", ["d"], ["y"], then_branch=outside, else_branch=skip, name="outer")]
        inputs["d"] = np.array(True)
    made = model(nodes, inputs, {})
    return patchclamp.open(saved(folder, made)), made

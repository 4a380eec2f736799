"""Graphs of one operator, as exporters write them, and what onnxruntime itself makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

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

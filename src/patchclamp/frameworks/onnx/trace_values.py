"""What one node of a graph gives for other numbers than those of the run: labels to be moved, and slopes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from .session import Session

__all__ = ["Alone", "Fast", "NotFollowed", "attributes", "central", "erf"]

STEP = 2.0**-17
"""Of a central difference in float64: its square and the roundoff over it are both below 1e-10."""


class NotFollowed(Exception):
    """What a node does with an operand is not known."""


def attributes(node: Any) -> dict[str, Any]:
    """What a node states: numbers, lists, and texts as str."""
    found = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


class Alone:
    """One node by itself, run by ONNX's own reference implementation, which takes arrays of any type."""

    def __init__(self, node: Any, opsets: Sequence[Any]) -> None:
        self._model = _of_one(node, opsets)
        self._names = list(node.input)
        self._run: Any = None

    def __call__(self, given: Sequence[Any], which: int = 0) -> Any:
        """One of its outputs for what its inputs are given; None for one that is left out."""
        feeds = {name: value for name, value in zip(self._names, given, strict=True) if name}
        try:
            if self._run is None:
                self._run = ReferenceEvaluator(self._model)
            return self._run.run(None, feeds)[which]
        except Exception as error:  # an operator that it does not have, or has for other types only
            raise NotFollowed(f"the reference implementation cannot run it: {error}") from error


class Fast:
    """One node by itself in ONNX Runtime, in float32."""

    def __init__(self, node: Any, opsets: Sequence[Any], feeds: Mapping[str, Any]) -> None:
        model = _of_one(node, opsets)
        for item in model.graph.input:
            item.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(feeds[item.name].dtype)
        self._session = Session(model.SerializeToString(), "", node.name)

    def __call__(self, feeds: Mapping[str, Any], output: str) -> Any:
        return self._session([output], feeds)[output]


def _of_one(node: Any, opsets: Sequence[Any]) -> Any:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    inputs = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([copy], "alone", inputs, outputs)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def central(alone: Alone, given: Sequence[Any], at: int) -> Any:
    """The slope of each element of the first output by the element of an input at its place, in float64."""
    wide = [np.asarray(v, np.float64) if v is not None and np.asarray(v).dtype.kind == "f" else v for v in given]
    step = STEP * np.maximum(1.0, np.abs(wide[at]))
    ends = [
        alone([value if place != at else value + sign * step for place, value in enumerate(wide)]) for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


erf: Any = np.vectorize(math.erf, otypes=[np.float64])

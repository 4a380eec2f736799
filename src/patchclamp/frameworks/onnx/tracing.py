"""Follow every neuron of an ONNX file through one run of its graph, to all that listen to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto

from ...errors import RunError
from ...flow.cells import Cells
from ...flow.edges import Traced
from ...flow.flow import Flow
from ...flow.shadow import Shadow
from .outlets import Outlets, Way
from .parsing import File, numbers_of, parsed
from .session import Session
from .trace_bodies import bodies
from .trace_elements import ELEMENTS
from .trace_graph import Rule, Scope, Tracer
from .trace_moves import MOVES
from .trace_norms import NORMS
from .trace_products import MOVED, PRODUCTS
from .trace_recurrent import RECURRENT
from .trace_weights import Lies, Weights

__all__ = ["traced"]

INPUT = "the network's input"
MOVED["Gather"] = MOVES["", "Gather"]
RULES: dict[tuple[str, str], Rule] = {**ELEMENTS, **MOVES, **NORMS, **RECURRENT, **PRODUCTS}
_SOURCES = {op for _, op in (*PRODUCTS, *RECURRENT)}
_COUNTED = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.STRING)
"""What shapes, axes and masks are stored as; no weights are."""


class Traceable(Protocol):
    """What is needed of the runner."""

    @property
    def file(self) -> Any: ...

    @property
    def runs(self) -> Mapping[str, Sequence[Any]]: ...

    @property
    def windows(self) -> Mapping[str, Lies]: ...


def traced(runner: Traceable, cells: Cells, x: Any, size: tuple[int, ...] | None, numbers: bool) -> Traced:
    """Run the file once on `x`, every tensor of it an output of a copy, and walk its nodes in order.

    With a `size`, that of one example without the batch axis, it is run on zeros.
    """
    model = parsed(runner.file)
    run = _Run(model, runner, x, size)
    flow = Flow(cells)
    rules = {**RULES, **bodies(run.scope)}
    tracer = Tracer(flow, Weights(cells, runner.windows), rules, numbers)
    tracer.opsets = list(model.opset_import)
    tracer.sources = frozenset({*_SOURCES, "If", "Loop", "Scan", "SequenceMap"})
    tracer.layers = {(one.op, tuple(one.inputs)): name for name, each in runner.runs.items() for one in each}
    run.weights = tracer.weights
    scope = run.scope(model.graph, (), "", None)
    block = cells.add("", "", 1, text=INPUT)
    for name, value in run.feeds.items():
        if value.dtype.kind in "fcV":
            codes = np.full((1, *value.shape), block.start, np.int64)
            scope.shadows[name] = Shadow(codes, np.ones(codes.shape) if numbers else None)
    tracer.walk(run.nodes, scope)
    for item in run.outputs:
        shadow = scope.shadow(item)
        if shadow is not None:
            flow.arrived(shadow)
    return flow.traced()


class _Run:
    """Every tensor of a graph in one run, those of the bodies of an If too."""

    def __init__(self, model: onnx.ModelProto, runner: Traceable, x: Any, size: tuple[int, ...] | None) -> None:
        self.file: File = runner.file
        self.weights: Weights | None = None
        self.nodes = [_kept(node) for node in model.graph.node]
        self.outputs = [item.name for item in model.graph.output]
        outlets = Outlets(model)
        self.inside = {(name, way): outlets.of(name, way) for name, way in list(_inside(self.nodes, ()))}
        known = set(self.outputs)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in _given(self.nodes) if name not in known)
        names = [item.name for item in model.graph.output]
        session = Session(model.SerializeToString(), runner.file.beside, runner.file.path)
        self.feeds: dict[str, Any] = session.feeds(x if size is None else session.zeros(size, ""))
        self.found = session(names, self.feeds)

    def scope(self, graph: Any, way: Way, label: str, outer: Scope | None) -> Scope:
        """A graph or a body with its numbers, and the weights that it holds."""
        constants = dict(_constants(graph))
        read: dict[str, Any] = {}

        def value(name: str) -> Any:
            if name in constants:
                if name not in read:
                    tensor = constants[name]
                    read[name] = numbers_of(self.file, tensor) if isinstance(tensor, TensorProto) else tensor
                return read[name]
            if way:
                outlet = self.inside.get((name, way))
                return None if outlet is None else outlet.value(self.found, ())
            return self.feeds[name] if name in self.feeds else self.found.get(name)

        made = Scope(label, value, outer, way)
        assert self.weights is not None
        for name, tensor in constants.items():
            if isinstance(tensor, TensorProto) and tensor.data_type not in _COUNTED:
                made.held[name] = self.weights.tensor(name, label, tuple(tensor.dims))
        return made


def _kept(node: Any) -> Any:
    """A node as the file has it, also when outputs are added to its bodies."""
    if not any(item.HasField("g") for item in node.attribute):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _given(nodes: Iterable[Any]) -> Iterator[str]:
    """What nodes give, but for constants."""
    for node in nodes:
        if node.op_type != "Constant":
            yield from filter(None, node.output)


def _inside(nodes: Iterable[Any], way: Way) -> Iterator[tuple[str, Way]]:
    """What the nodes in bodies of an If give."""
    for node in nodes:
        if node.op_type == "If" and node.domain in ("", "ai.onnx"):
            for item in node.attribute:
                deeper = (*way, (node.output[0], item.name))
                yield from ((name, deeper) for name in _given(item.g.node))
                yield from _inside(item.g.node, deeper)


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that a graph holds: its initializers, and what its Constant nodes give."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            (item,) = node.attribute
            value = onnx.helper.get_attribute_value(item)
            if isinstance(value, TensorProto):
                yield node.output[0], value
            elif item.name.startswith(("value_int", "value_float")):
                yield node.output[0], np.array(value, np.int64 if "int" in item.name else np.float32)
            else:
                raise RunError(f"the constant {node.output[0]!r} is {item.name}, which is not followed")

"""Follow every neuron of an ONNX file through one run of its graph, to all that listen to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto

from ...errors import RunError
from ...flow.cells import NETWORK_INPUT, Cells
from ...flow.edges import Traced
from ...flow.flow import Flow
from ...flow.shadow import Shadow
from .outlets import Outlets, Way
from .parsing import File, numbers_of, parsed
from .session import Session
from .trace_attention import ATTENTIONS
from .trace_bodies import Entered, bodies
from .trace_elements import ELEMENTS
from .trace_graph import Rule, Scope, Tracer
from .trace_moves import MOVES
from .trace_norms import NORMS
from .trace_products import MOVED, PRODUCTS
from .trace_recurrent import RECURRENT
from .trace_weights import Lies, Weights

__all__ = ["traced"]

HOLDING = ("If", "Loop", "Scan")
"""Nodes whose bodies are followed."""
MOVED["Gather"] = MOVES["", "Gather"]
RULES: dict[tuple[str, str], Rule] = {**ELEMENTS, **MOVES, **NORMS, **RECURRENT, **PRODUCTS, **ATTENTIONS}
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
    run = _ran(runner, x, size)
    flow = Flow(cells)
    rules = {**RULES, **bodies(run)}
    tracer = Tracer(flow, Weights(cells, runner.windows), rules, numbers)
    tracer.opsets = run.opsets
    tracer.sources = frozenset({*_SOURCES, *HOLDING, "SequenceMap"})
    tracer.layers = {(one.op, tuple(one.inputs)): name for name, each in runner.runs.items() for one in each}
    run.weights = tracer.weights
    scope = run.scope(run.graph, ((), "", ()), None)
    block = cells.add("", "", 1, text=NETWORK_INPUT)
    for name, value in run.feeds.items():
        if value.dtype.kind in "fcV":
            codes = np.full((1, *value.shape), block.start, np.int64)
            scope.shadows[name] = Shadow(codes, np.ones(codes.shape) if numbers else None)
    # A root at 0 has no slope: there the gain is NaN, as it is for torch.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tracer.walk(run.nodes, scope)
    for item in run.outputs:
        shadow = scope.shadow(item)
        if shadow is not None:
            flow.arrived(shadow)
    return flow.traced()


def _ran(runner: Traceable, x: Any, size: tuple[int, ...] | None) -> _Run:
    """A run with all that is inside of loops, where every round gives arrays of the same shapes; else without."""
    model = parsed(runner.file)
    inside = [kind for kind in HOLDING if any(kind == node.op_type for node in _every(model.graph))]
    try:
        return _Run(model, runner, (x, size), inside)
    except RunError:
        if inside in ([], ["If"]):
            raise
        return _Run(parsed(runner.file), runner, (x, size), ["If"])


class _Run:
    """Every tensor of a graph in one run, those too that are inside of nodes of some kinds."""

    def __init__(
        self, model: onnx.ModelProto, runner: Traceable, x: tuple[Any, tuple[int, ...] | None], inside: Sequence[str]
    ) -> None:
        self.file: File = runner.file
        self.weights: Weights | None = None
        self.graph, self.opsets = model.graph, list(model.opset_import)
        self.nodes = [_kept(node) for node in model.graph.node]
        self.outputs = [item.name for item in model.graph.output]
        outlets = Outlets(model)
        self.inside = {(name, way): outlets.of(name, way) for name, way in list(_inside(self.nodes, inside))}
        ways = dict.fromkeys(way for _, way in self.inside if way[-1][1] == "body")
        self.flags = {way: outlets.flag(way) for way in ways}
        known = set(self.outputs)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in _given(self.nodes) if name not in known)
        names = [item.name for item in model.graph.output]
        session = Session(model.SerializeToString(), runner.file.beside, runner.file.path)
        given, size = x
        self.feeds: dict[str, Any] = session.feeds(given if size is None else session.zeros(size, ""))
        self.found = session(names, self.feeds)

    def rounds(self, entered: Entered) -> int | None:
        """How often a body ran; None where that is not known."""
        way, _, index = entered
        return len(self.flags[way].value(self.found, index)) if way in self.flags else None

    def scope(self, graph: Any, entered: Entered, outer: Scope | None) -> Scope:
        """A graph or a body with its numbers, and the weights that it holds."""
        way, label, index = entered
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
                return None if outlet is None else outlet.value(self.found, index)
            return self.feeds[name] if name in self.feeds else self.found.get(name)

        made = Scope(entered, value, outer)
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


def _every(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the bodies in it."""
    for node in graph.node:
        yield node
        for item in node.attribute:
            if item.HasField("g"):
                yield from _every(item.g)


def _inside(nodes: Iterable[Any], kinds: Sequence[str], way: Way = ()) -> Iterator[tuple[str, Way]]:
    """What is given in the bodies of nodes of some kinds: to the bodies, and by the nodes in them."""
    for node in nodes:
        if node.op_type in kinds and node.domain in ("", "ai.onnx"):
            for item in node.attribute:
                if item.HasField("g"):
                    deeper = (*way, (node.output[0], item.name))
                    yield from ((name, deeper) for name in (*(one.name for one in item.g.input), *_given(item.g.node)))
                    yield from _inside(item.g.node, kinds, deeper)


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

"""Tensors inside a graph led out of it: outputs added to a copy of the model, through the bodies of If, Loop and Scan.

A body gains an output for each tensor that is wanted in it, and so does the node that holds it, up to the graph. The
other branch of an If gives an empty tensor of the same type there, and a flag beside each body says in which runs of it
the numbers are its own. A Loop or a Scan lays what its runs give one after the other, on a new first axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from ...errors import RunError, nearest

__all__ = ["Outlet", "Outlets", "Way"]

Way = tuple[tuple[str, str], ...]
"""The way to a body: for each node on it its first output, and the attribute that holds the body."""
_LOOPS = ("Loop", "Scan")
_BRANCHES = {"then_branch": "else_branch", "else_branch": "then_branch"}


@dataclass(frozen=True)
class Outlet:
    """Where a tensor comes out: the graph's output, or what it is where it is given or constant. `loops` is how many
    axes of runs of loops it has in front."""

    output: str
    constant: Any = None
    loops: int = 0

    def value(self, found: Mapping[str, Any], run: tuple[int, ...]) -> Any:
        """What it was in one run of its body."""
        whole = found[self.output] if self.constant is None else self.constant
        return whole[run[: self.loops]] if self.loops else whole


@dataclass(frozen=True)
class _Step:
    """A node that holds a body, and the graph that it is in."""

    graph: Any
    node: Any
    attribute: str

    @property
    def body(self) -> Any:
        return self.held(self.attribute)

    def held(self, attribute: str) -> Any:
        return next(item.g for item in self.node.attribute if item.name == attribute)


class Outlets:
    """Adds outputs to a model, which it changes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.added: list[str] = []
        self._known: dict[tuple[str, Way], Outlet] = {}
        self._flags: dict[Way, Outlet] = {}
        self._types: Any = None

    def of(self, name: str, way: Way = ()) -> Outlet:
        """The outlet of a tensor that a body reads or gives. RunError where there is none of that name."""
        steps = self._steps(way)
        for depth in range(len(way), -1, -1):
            graph = steps[depth - 1].body if depth else self.model.graph
            if _holds(graph, name):
                return self._made(name, graph, steps[:depth], way[:depth])
        raise RunError(f"the graph has no tensor {name!r}", nearest(name, sorted(self.names())))

    def flag(self, way: Way) -> Outlet:
        """What says in which runs a body ran itself, and not the other branch."""
        if way not in self._flags:
            steps = self._steps(way)
            name = f"patchclamp:ran:{len(self._flags)}"
            value = helper.make_tensor(name, TensorProto.BOOL, (), [True])
            steps[-1].body.node.append(helper.make_node("Constant", [], [name], value=value))
            self._flags[way] = self._led(name, TensorProto.BOOL, steps)
        return self._flags[way]

    def names(self) -> Iterator[str]:
        """Every tensor, those of bodies too."""
        for graph, _ in _graphs(self.model.graph, ()):
            yield from _tensors(graph)

    def ways(self, name: str) -> list[Way]:
        """The bodies that hold a tensor of that name."""
        return [way for graph, way in _graphs(self.model.graph, ()) if _holds(graph, name)]

    def _steps(self, way: Way) -> list[_Step]:
        graph, steps = self.model.graph, []
        for output, attribute in way:
            node = next((node for node in graph.node if list(node.output[:1]) == [output]), None)
            if node is None:
                raise RunError(f"no node of the graph gives {output!r}, in whose {attribute} a layer is said to lie")
            steps.append(_Step(graph, node, attribute))
            graph = steps[-1].body
        return steps

    def _made(self, name: str, graph: Any, steps: Sequence[_Step], way: Way) -> Outlet:
        if (name, way) not in self._known:
            constant = next((item for item in graph.initializer if item.name == name), None)
            if constant is not None and constant.data_location != TensorProto.EXTERNAL:
                self._known[name, way] = Outlet("", numpy_helper.to_array(constant))
            elif steps:
                self._known[name, way] = self._led(name, self._type(name, way), steps)
            else:
                self._known[name, way] = self._out(name)
        return self._known[name, way]

    def _out(self, name: str) -> Outlet:
        """A tensor of the graph itself as an output; what the graph is given is one through an Identity."""
        graph = self.model.graph
        if any(item.name == name for item in graph.output):
            return Outlet(name)
        if any(item.name == name for item in (*graph.input, *graph.initializer)):
            given, name = name, f"patchclamp:{name}"
            graph.node.append(helper.make_node("Identity", [given], [name]))
        graph.output.append(onnx.ValueInfoProto(name=name))
        return Outlet(name)

    def _led(self, name: str, kind: int, steps: Sequence[_Step]) -> Outlet:
        """A tensor of a body, led out through every node that holds it."""
        loops = 0
        for step in reversed(steps):
            number = len(self.added)
            inner, outer = f"patchclamp:inner:{number}", f"patchclamp:outer:{number}"
            self.added.append(outer)
            step.body.node.append(helper.make_node("Identity", [name], [inner]))
            step.body.output.append(_info(inner, kind))
            if step.node.op_type == "If":
                _fill(step.held(_BRANCHES[step.attribute]), inner, kind)
            elif step.node.op_type in _LOOPS:
                loops += 1
                _pad(step)
            else:
                raise RunError(f"tensors inside a {step.node.op_type} node cannot be led out of it")
            step.node.output.append(outer)
            name = outer
        self.model.graph.output.append(onnx.ValueInfoProto(name=name))
        return Outlet(name, loops=loops)

    def _type(self, name: str, way: Way) -> int:
        """The element type of a tensor in a body. RunError where it does not follow from the graph."""
        if self._types is None:
            try:
                inferred = infer_shapes(self.model)
            except Exception as error:
                raise RunError(f"the types inside the bodies of the graph cannot be inferred: {error}") from error
            self._types = {way: graph for graph, way in _graphs(inferred.graph, ())}
        graph = self._types[way]
        for item in (*graph.value_info, *graph.output, *graph.input):
            if item.name == name and item.type.tensor_type.elem_type:
                return int(item.type.tensor_type.elem_type)
        for tensor in graph.initializer:
            if tensor.name == name:
                return int(tensor.data_type)
        raise RunError(f"the type of the tensor {name!r} inside a body does not follow from the graph")


def _info(name: str, kind: int) -> Any:
    info = onnx.ValueInfoProto(name=name)
    info.type.tensor_type.elem_type = kind
    return info


def _fill(graph: Any, name: str, kind: int) -> None:
    """The same output in the other branch: an empty tensor, or the flag of a body that did not run."""
    name = f"{name}:other"
    shape, values = ((), [False]) if kind == TensorProto.BOOL else ((0,), [])
    graph.node.append(helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, shape, values)))
    graph.output.append(_info(name, kind))


def _pad(step: _Step) -> None:
    """Name the outputs that a loop leaves out, and say that what is added lies on a first axis, in order."""
    every = len(step.body.output) - 1 - (step.node.op_type == "Loop")
    while len(step.node.output) < every:
        step.node.output.append(f"patchclamp:left:{step.node.output[0]}:{len(step.node.output)}")
    for item in step.node.attribute:
        if item.name in ("scan_output_axes", "scan_output_directions"):
            item.ints.append(0)


def _graphs(graph: Any, way: Way) -> Iterator[tuple[Any, Way]]:
    yield graph, way
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("g"):
                yield from _graphs(item.g, (*way, (node.output[0] if node.output else "", item.name)))


def _tensors(graph: Any) -> Iterator[str]:
    for item in (*graph.input, *graph.initializer):
        yield item.name
    for node in graph.node:
        yield from filter(None, node.output)


def _holds(graph: Any, name: str) -> bool:
    return any(found == name for found in _tensors(graph))

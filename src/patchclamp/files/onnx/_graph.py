"""Graphs of an ONNX file: which constants there are, and what becomes of each on its way to a node that uses it.

Nodes are read once, in their order, which the format says is that of their running. Followed is what leaves the numbers
as they are: a transposition, a slice and its like, the decoding of a quantised tensor. Of other nodes only those are
kept that constants reach.

Source: `GraphProto`, `NodeProto`, `AttributeProto`, `FunctionProto` in `onnx.proto` of the ONNX project.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import FileError
from ...frozen import replace
from .._safetensors_header import shown
from ._beside import Folder
from ._follow import FOLLOWED, Piece, Value, rows
from ._nodes import Node, TensorMessage
from ._runs import Body
from ._tensors import Tensor, read_tensor
from ._wire import DAMAGED, Message, refused

__all__ = ["Graph", "read_function", "read_graph"]

DEEPEST = 32
"""How deep bodies of If, Loop and Scan may lie in each other."""
_BODIES = {"If", "Loop", "Scan", "SequenceMap"}


TOP = Body()


class Graph:
    """What was found in a graph and the bodies in it, as it is read.

    tensors   every initializer and constant, in the file's order, with the label of the body it is in
    use       is told of each node that a known constant reaches, what is known of its inputs, and the body it is in
    names     other names for whole tensors that the file gives (`Identity` of a parameter that others share)
    """

    def __init__(self, folder: Folder, use: Callable[[Node, list[Value | None], Body], None]) -> None:
        self.folder = folder
        self.use = use
        self.tensors: list[tuple[Tensor, str]] = []
        self.names: list[tuple[str, Tensor, str]] = []
        self.sparse: list[str] = []


Known = dict[str, Value]


def read_graph(graph: Graph, message: Message, body: Body = TOP, outer: tuple[Known, ...] = ()) -> None:
    """Read a graph into `graph`; `body` says which it is, `outer` the values of the graphs around it."""
    if len(outer) > DEEPEST:
        raise refused(message.source.path, message.begin, f"bodies of nodes lie in each other more than {DEEPEST} deep")
    known: Known = {}
    nodes: list[tuple[int, int]] = []
    before = message.begin
    for field in message:
        number, end = field[0], field[3]
        if number == 1:
            start = nodes.pop()[0] if nodes and nodes[-1][1] == before else before
            nodes.append((start, end))
        elif number == 5:
            tensor = read_tensor(message.inside(field), graph.folder)
            tensor.name = tensor.name or f"initializer_{len(graph.tensors)}"
            _add(graph, known, tensor, body.label)
        elif number == 15:
            _sparse(graph, known, message.inside(field), body)
        before = end
    scopes = (known, *outer)
    for begin, end in nodes:
        _read_nodes(graph, Message(message.source, begin, end), body, scopes)


def _read_nodes(graph: Graph, message: Message, body: Body, scopes: tuple[Known, ...]) -> None:
    for field in message:
        if field[0] == 1:
            _take(graph, Node(message.inside(field)), body, scopes)


def read_function(graph: Graph, message: Message) -> None:
    """The constants inside a function of the file; what its callers give to it is not followed."""
    name, nodes = "", []
    for field in message:
        if field[0] == 1:
            name = message.text(field)
        elif field[0] == 7:
            nodes.append(message.inside(field))
    known: Known = {}
    for node in nodes:
        _take(graph, Node(node), Body(name or "function", None), (known,))


def _add(graph: Graph, known: Known, tensor: Tensor, label: str) -> None:
    if tensor.name in known:
        reason = f"two tensors are called {shown(tensor.name)!r}"
        raise FileError(graph.folder.path, reason, hint=DAMAGED)
    known[tensor.name] = Value((Piece(tensor, 0, rows(tensor)),), tensor.name)
    graph.tensors.append((tensor, label))


def _sparse(graph: Graph, known: Known, message: Message, body: Body) -> None:
    """The values and the places of a sparse tensor, as two arrays."""
    name = ""
    for field in message:
        if field[0] in (1, 2):
            tensor = read_tensor(message.inside(field), graph.folder)
            name = tensor.name or name or f"sparse_{len(graph.tensors)}"
            tensor.name = f"{name}.{'values' if field[0] == 1 else 'indices'}"
            _add(graph, known, tensor, body.label)
    graph.sparse.append(name)


def _take(graph: Graph, node: Node, body: Body, scopes: tuple[Known, ...]) -> None:
    """One node: a constant, one that hands constants on, one that uses them, or one with bodies."""
    if node.domain == "" and node.op == "Constant":
        _constant(graph, node, body, scopes[0])
        return
    if node.op in _BODIES and node.domain == "":
        for attribute, value in _bodies(node):
            read_graph(graph, value, body.inside(node, attribute), scopes)
        return
    inputs = [_find(scopes, name) for name in node.inputs]
    if not any(inputs):
        return
    follow = FOLLOWED.get(node.op) if node.domain in ("", "com.microsoft") else None
    made = follow(node, inputs) if follow is not None else None
    if made is not None and node.outputs:
        if node.op == "Identity" and made.whole is not None:
            graph.names.append((node.outputs[0], made.whole, body.label))
        scopes[0][node.outputs[0]] = replace(made, name=node.outputs[0])
    elif follow is None or inputs[0] is None:
        graph.use(node, inputs, body)


def _bodies(node: Node) -> Iterator[tuple[str, Message]]:
    for name, value in node.attributes().items():
        if isinstance(value, Message):
            yield name, value
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Message):
                    yield f"{name}_{number}", item


def _find(scopes: tuple[Known, ...], name: str) -> Value | None:
    """What is known of a value, here or in a graph around."""
    if name:
        for known in scopes:
            if name in known:
                return known[name]
    return None


def _constant(graph: Graph, node: Node, body: Body, known: Known) -> None:
    """A Constant node: its one attribute is the value."""
    if not node.outputs:
        return
    name = node.outputs[0]
    tensor: Tensor | None = None
    for attribute, value in node.attributes().items():
        if attribute == "value" and isinstance(value, TensorMessage):
            tensor = read_tensor(value.message, graph.folder, name)
            tensor.name = name
        elif attribute == "sparse_value":
            graph.sparse.append(name)
        elif attribute in ("value_float", "value_floats", "value_int", "value_ints"):
            tensor = _listed(graph, name, attribute, value)
    if tensor is not None:
        tensor.constant = True
        _add(graph, known, tensor, body.label)


def _listed(graph: Graph, name: str, attribute: str, value: Any) -> Tensor:
    """The numbers of an attribute as a tensor."""
    floats = "float" in attribute
    numbers = value if isinstance(value, list) else [value]
    if not all(type(number) is (float if floats else int) for number in numbers):
        raise FileError(graph.folder.path, f"the constant has no {attribute}", array=shown(name), hint=DAMAGED)
    shape = (len(numbers),) if attribute.endswith("s") else ()
    tensor = Tensor(name, "float32" if floats else "int64", shape)
    data = struct.pack(f"<{len(numbers)}{'f' if floats else 'q'}", *numbers)
    tensor.plain = _Held(graph.folder, data)
    return tensor


class _Held:
    """A source of a few bytes that are already read."""

    __slots__ = ("data", "folder", "path", "size")

    def __init__(self, folder: Folder, data: bytes) -> None:
        self.folder = folder
        self.path = folder.path
        self.data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def refuse_changed(self) -> None:
        self.folder.refuse_changed()

    def sibling(self, name: str) -> Any:
        return self.folder.sibling(name)

    def close(self) -> None:
        """Nothing is open."""

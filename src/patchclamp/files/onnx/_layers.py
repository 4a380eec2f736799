"""From the nodes of a graph to layers: arrays under the names that the live network has, and what the file states."""

from __future__ import annotations

from collections.abc import Container, Iterator
from math import prod
from sys import intern
from typing import Any

from ...arrays import Array
from ...frozen import replace
from ._beside import Folder
from ._claims import Claim, Part, addend, held
from ._graph import Graph
from ._names import anonymous, prefix, scope
from ._nodes import Node
from ._roles import BIASES, ROLES
from ._runs import Body, Run, Window
from ._tensors import Tensor

__all__ = ["Layers"]

_OF_CELLS = ("weight_ih", "weight_hh")
_IN_PROJ = "in_proj"
NAMES = 8
"""Of how many nodes that share their arrays the names are known."""
_WITH_OUTPUT = {
    "onnx.InProjection": "onnx.MultiheadAttention",
    "onnx.InProjection(turned)": "onnx.MultiheadAttention(turned)",
}
"""What a packed projection is where `out_proj` is beside it."""
_PRODUCTS = ("onnx.MatMul", "onnx.Gemm")
_THEN_BIAS = (*_PRODUCTS, "onnx.GroupNormalization")
"""Kinds whose nodes may have no bias of their own, but a node that adds one after them."""

_PLAIN = ("Add", "BiasAdd")
"""Those of the nodes that add a vector which do nothing else."""
_COUNTS = ("int64", "int32", "bool")
"""What shapes, axes and masks are stored as; no weights are."""


class _Use:
    """A layer before it has a name: what is known of the node that was seen first, the names of others like it."""

    __slots__ = ("biased", "claim", "label", "last", "module", "names", "output", "runs")

    def __init__(self, node: Node, claim: Claim, label: str) -> None:
        self.claim = claim
        self.label = label
        self.module, self.last = scope(node)
        self.names = [node.name]
        self.runs: list[Run] = []
        self.biased: set[int] | None = None if "bias" in claim.words else set()
        self.output = node.outputs[0] if node.outputs else ""

    def told(self) -> list[Run]:
        """Its runs. One that gives the sum before a bias is added says so: the bias takes no part in it."""
        if self.biased is None or "bias" not in self.claim.words:
            return self.runs
        words = {word: word for word in self.claim.words if word != "bias"}
        bare = [
            run if i in self.biased else replace(run, config={**run.config, "words": words})
            for i, run in enumerate(self.runs)
        ]
        return bare


class Layers:
    """The layers of a graph, gathered as it is read; `finish` names them.

    arrays    every array, in the file's order
    says      layer -> its kind and what its node states
    aliases   the names of nodes -> the layers that they are
    runs      layer -> the nodes that run it, in the graph's order
    windows   path of an array -> where in which tensor it lies
    small     how many constants are left out: single numbers and lists of integers, which reckon with shapes
    """

    def __init__(self, folder: Folder) -> None:
        self.graph = Graph(folder, self._take)
        self.path = folder.path
        self.arrays: tuple[Array, ...] = ()
        self.says: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.runs: dict[str, list[Run]] = {}
        self.windows: dict[str, Window] = {}
        self.small = 0
        self._parts: dict[str, Part] = {}
        self._layers: set[str] = set()
        self._uses: dict[object, _Use] = {}
        self._stacks: dict[str, list[tuple[int, int, int]]] = {}
        self._waiting: dict[str, tuple[_Use, int]] = {}
        self._shaped: dict[str, str] = {}
        self._owned: dict[Tensor, list[str]] = {}
        self._scopes: dict[Tensor, str] = {}
        self._groups: dict[str, tuple[int, str, float]] = {}
        self._numbers: dict[str, int] = {}

    def finish(self) -> None:
        """Name the layers, after all graphs were read."""
        for use in self._uses.values():
            self._name(use)
        for name, said in self.says.items():
            if said["kind"] in _WITH_OUTPUT and self.says.get(f"{name}.out_proj", said)["kind"] == "onnx.Gemm(turned)":
                said["kind"] = _WITH_OUTPUT[said["kind"]]
        self._rest()
        self.arrays = tuple(self._arrays())
        bodies = dict(self.graph.tensors)
        for path, part in self._parts.items():
            tensor = part.tensor.origin or part.tensor
            self.windows[path] = Window(tensor.name, bodies.get(tensor, ""), part.first, part.shape, part.order)

    def _take(self, node: Node, inputs: list[Any], body: Body) -> None:
        if inputs[0] is None and node.op == "Reshape" and node.outputs:
            self._shaped[node.outputs[0]] = node.inputs[0]
            return
        if node.op in BIASES and self._bias(node, inputs):
            return
        role = ROLES.get(node.op)
        claim = role(node, inputs) if role is not None else self._scaled(node, inputs)
        if claim is not None and _is_core(node, claim):
            entered = self._shaped.get(node.inputs[0], "")
            self._groups[scope(node)[0]] = claim.words["weight"].tensor.count, entered, claim.said["eps"]
            return
        if claim is None:
            for value in inputs:
                tensor = value.whole if value is not None else None
                if tensor is not None and not tensor.constant and anonymous(tensor.name):
                    self._scopes.setdefault(tensor, scope(node)[0])
            return
        for layer, kind in claim.stated.items():
            self.says.setdefault(layer, {"kind": kind})
            self.runs.setdefault(layer, []).append(_run(node, claim, body))
        if claim.words and not any(_leaf(part.name).startswith(_OF_CELLS) for part in claim.words.values()):
            self._claim(node, claim, body)

    def _claim(self, node: Node, claim: Claim, body: Body) -> None:
        """A layer of its own, or one more use of a layer that is known."""
        parts = ((word, part.tensor.origin or part.tensor, part.first) for word, part in claim.words.items())
        signature = (claim.kind, *parts)
        use = self._uses.get(signature)
        if use is None:
            use = self._uses[signature] = _Use(node, claim, body.label)
        elif len(use.names) < NAMES:
            use.names.append(node.name)
        use.runs.append(_run(node, claim, body))
        if node.outputs and claim.kind.startswith(_THEN_BIAS):
            self._waiting[node.outputs[0]] = use, len(use.runs) - 1

    def _scaled(self, node: Node, inputs: list[Any]) -> Claim | None:
        """The scale of a group normalisation that torch's exporter takes apart: ones, then the scale, then the bias."""
        module = scope(node)[0]
        groups, entered, eps = self._groups.get(module, (0, "", 0.0)) if node.op == "Mul" else (0, "", 0.0)
        part = held(inputs, 0, vector=True) or held(inputs, 1, vector=True)
        if not groups or part is None or part.tensor.count % groups or not part.tensor.count:
            return None
        del self._groups[module]
        said = {"num_groups": groups, "eps": eps}
        return Claim("onnx.GroupNormalization", {"weight": part}, said, config={"entered": entered})

    def _bias(self, node: Node, inputs: list[Any]) -> bool:
        """Whether the node adds a vector to what a product gave: the vector is then the bias of that layer."""
        for place, name in enumerate(node.inputs[:2]):
            if name not in self._waiting:
                continue
            use, number = self._waiting[name]
            product = use.claim.kind.startswith(_PRODUCTS)
            columns = product and "output" in use.runs[number].config.get("turned", ())
            part = addend(inputs, 1 - place, columns=columns) if product else held(inputs, 1 - place, vector=True)
            if part is None:
                continue
            words = use.claim.words
            weight = next(iter(words.values()))
            counts = weight.shape[0 if use.claim.kind.endswith("(turned)") else -1]
            if part.tensor.count != counts or words.setdefault("bias", part).tensor is not part.tensor:
                continue
            if node.op in _PLAIN and node.outputs and use.biased is not None:
                use.runs[number] = replace(use.runs[number], gives=(node.outputs[0],))
                use.biased.add(number)
            return True
        return False

    def _name(self, use: _Use) -> None:
        """Give a layer its name, and its arrays their paths."""
        name = self._stacked(use) or self._named(use)
        for alias in use.names:
            if alias and alias != name:
                self.aliases.setdefault(alias, name)

    def _stacked(self, use: _Use) -> str:
        """The stack of recurrent layers that a node goes on: of the same module, reading what the last one gives."""
        if use.claim.stack is None:
            return ""
        name = use.module
        units, ways, reads = use.claim.stack
        stack = self._stacks.get(name)
        if not stack or stack[-1][:2] != (units, ways) or reads != units * ways:
            return ""
        self._put(name, _suffixed(use.claim, len(stack)), len(use.runs))
        self.runs[name] = [_level(run, 0) if len(stack) == 1 else run for run in self.runs[name]]
        self.runs[name] += [_level(run, len(stack)) for run in use.runs]
        stack.append(use.claim.stack)
        return name

    def _named(self, use: _Use) -> str:
        claim, module, last = _in_projection(use.claim), use.module, use.last
        words = claim.words if claim.stack is None else _suffixed(claim, 0)
        own = prefix((word, part.name) for word, part in words.items())
        weight = next(iter(words.values())).tensor.name
        usual = weight.rpartition(".")[0] if not anonymous(weight) else ""
        name = own if own is not None else module or usual or last or use.output or weight
        if own is None and not module and use.label:
            name = f"{use.label}.{name}"
        if name in self._layers or (name == "" and own is None):
            name = f"{name}.{last}" if name and last and last != name else name or "layer"
            name = self._free(name, use.label, self._layers)
        self._put(name, words, len(use.runs))
        self.runs[name] = use.told()
        self.says[name] = {"kind": claim.kind, **claim.said}
        if claim.stack is not None:
            self._stacks[name] = [claim.stack]
        return name

    def _free(self, name: str, label: str, taken: Container[str]) -> str:
        """The name, or one made of it that is not taken."""
        for other in (name, f"{label}.{name}" if label else name):
            if other not in taken:
                return other
        while True:
            number = self._numbers[name] = self._numbers.get(name, 1) + 1
            if f"{name}_{number}" not in taken:
                return f"{name}_{number}"

    def _put(self, layer: str, words: dict[str, Part], nodes: int) -> None:
        self._layers.add(layer)
        for word, part in words.items():
            part = replace(part, note=_and(part.note, f"used by {nodes} nodes")) if nodes > 1 else part
            self._own(self._free(f"{layer}.{word}" if layer else word, "", self._parts), part)

    def _own(self, path: str, part: Part) -> None:
        self._parts[path] = part
        paths = self._owned.setdefault(part.tensor.origin or part.tensor, [])
        if part.first == 0 and part.tensor.count == prod(part.shape):
            paths.append(path)

    def _rest(self) -> None:
        """Tensors that no layer has: under their own names, those that an exporter named under the module's name."""
        for tensor, label in self.graph.tensors:
            if tensor in self._owned:
                continue
            if tensor.constant and (tensor.count <= 1 or (len(tensor.shape) < 2 and "float" not in tensor.dtype)):
                self.small += 1
                continue
            module = self._scopes.get(tensor, "")
            path = f"{module}.{tensor.name}" if module else tensor.name
            self._own(self._free(path, label, self._parts), _whole(tensor))
        for name, tensor, _ in self.graph.names:
            if "." in name and "/" not in name and name not in self._parts and not tensor.constant:
                self._own(name, _whole(tensor))

    def _arrays(self) -> Iterator[Array]:
        for path, part in self._parts.items():
            tensor = part.tensor
            storage = tensor.storage(self.path, path, (part.first, part.shape, part.order))
            if tensor.plain is not None:
                name = f"{tensor.name} in the file" if tensor.name != path else ""
                storage.note = _and(name, tensor.note, part.note)
            owners = self._owned.get(tensor.origin or tensor, [])
            tied = tuple(other for other in owners if other != path) if path in owners[:1000] else ()
            role = "buffer" if tensor.dtype in _COUNTS else "parameter"
            yield Array(path, path, part.shape, tensor.dtype, storage, role, tied=tied[:1000])


def _level(run: Run, number: int) -> Run:
    """A run of one layer of a stack."""
    return replace(run, config={**run.config, "level": number})


def _run(node: Node, claim: Claim, body: Body) -> Run:
    """What a node of a layer reads and gives."""
    config, inputs = claim.config, tuple(map(intern, node.inputs))
    if "entered" in config:
        inputs, config = (config["entered"],), {}
    return Run(intern(node.op), node.name, inputs, claim.reads, tuple(node.outputs), body.way, config)


def _and(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _whole(tensor: Tensor) -> Part:
    return Part(tensor, tensor.name, tensor.shape)


def _suffixed(claim: Claim, number: int) -> dict[str, Part]:
    """The arrays of a recurrent layer under the names that torch gives those of a stack."""
    return {
        f"{word.removesuffix('_reverse')}_l{number}{'_reverse' if word.endswith('_reverse') else ''}": part
        for word, part in claim.words.items()
    }


def _in_projection(claim: Claim) -> Claim:
    """A product with torch's packed projection of queries, keys and values: its words are those of the parameters."""
    named = any(_leaf(part.name) == f"{_IN_PROJ}_{word}" for word, part in claim.words.items())
    if not named or not claim.kind.startswith(("onnx.MatMul", "onnx.Gemm")):
        return claim
    words = {f"{_IN_PROJ}_{word}": part for word, part in claim.words.items()}
    return replace(claim, kind=_projection(claim.kind), words=words)


def _is_core(node: Node, claim: Claim) -> bool:
    """Whether a normalisation has no parameters of its own: constants that an exporter made up."""
    if node.op != "InstanceNormalization":
        return False
    return all(part.tensor.constant and anonymous(part.name) for part in claim.words.values())


def _projection(kind: str) -> str:
    return "onnx.InProjection(turned)" if kind.endswith("(turned)") else "onnx.InProjection"

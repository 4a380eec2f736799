"""What a Keras file is found to hold: arrays under the names of the live network, and what is said of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...arrays import Array
from ...kinds import find
from ...kinds.keras import RESET_BEFORE, einsum_neurons
from .._hdf5_tree import Dataset
from .._safetensors_header import shown
from ._config import Node

__all__ = ["Found", "inside"]

_BUFFERS = frozenset(
    [
        "moving_mean",
        "moving_variance",
        "moving_stddev",
        "renorm_mean",
        "renorm_stddev",
        "vector_u",
        "mean",
        "variance",
        "count",
        "seed_generator_state",
        "kernel_scale",
        "embeddings_scale",
    ]
)
_SHAPES = ("gamma", "beta", "alpha", "scale", "mean")
"""Arrays whose shape is that of the neurons."""


class Found:
    """Arrays and statements, in the order of the network."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.says: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        self._names: set[str] = set()
        self._doubled: dict[str, int] = {}

    def add(self, address: str, node: Node | None, held: Mapping[str, Dataset]) -> None:
        """A layer with its arrays by their words. A name that another layer has is made unlike it, and noted."""
        address = self._unlike(address, held)
        for word, dataset in held.items():
            name = inside(address, word)
            copied = node is not None and node.cls == "SpectralNormalization"
            role = "buffer" if word in _BUFFERS or copied else "parameter"
            self._names.add(name)
            self.arrays.append(Array(name, name, dataset.shape, dataset.dtype, dataset.storage, role))
        if node is not None and node.kind and (held or _of_parts(node)):
            said = _said(node, held)
            self.says.setdefault(address, said if node.stated else {**said, "inferred": True})

    def drop_idle(self) -> None:
        """Forget what is said of layers that have no arrays, in them or in their parts."""
        layers = {name.rpartition(".")[0] for name in self._names}
        over = {layer.rpartition(".")[0] for layer in layers}
        self.says = {name: said for name, said in self.says.items() if name in layers or name in over}

    def _unlike(self, address: str, held: Mapping[str, Dataset]) -> str:
        wanted = address
        while any(inside(wanted, word) in self._names for word in held):
            self._doubled[address] = self._doubled.get(address, 1) + 1
            wanted = f"{address}_{self._doubled[address]}"
        if wanted != address and self._doubled[address] == 2:
            again = shown(wanted)
            self.notes.append(f"several layers are called {shown(address)!r}; the second is listed as {again!r}")
        return wanted


def inside(address: str, step: str) -> str:
    """The name of a part.

    >>> inside("encoder", "dense"), inside("", "dense")
    ('encoder.dense', 'dense')
    """
    return f"{address}.{step}" if address and step else address or step


def _of_parts(node: Node) -> bool:
    """Whether a kind describes arrays that its parts hold."""
    kind = find([node.kind])
    return kind is not None and any("." in word for word in kind.arrays)


def _said(node: Node, held: Mapping[str, Dataset]) -> dict[str, Any]:
    """The kind of a layer, and of its settings those that the kind asks for."""
    kind = find([node.kind])
    said: dict[str, Any] = {"kind": node.kind}
    if kind is None:
        return said
    asked = {path for paths in (*kind.sizes.values(), *kind.config.values()) for path in paths.split("|")}
    said |= {word: value for word, value in node.config.items() if word in asked and _plain(value)}
    shapes = {word: dataset.shape for word, dataset in held.items()}
    said |= {f"{word}.shape": list(shapes[word]) for word in _SHAPES if word in shapes}
    if said.get("groups") == -1 and "groups" in asked:
        said["groups"] = max((shape[-1] for shape in shapes.values() if shape), default=1)
    if "depth_multiplier" in asked and (kernel := shapes.get("kernel") or shapes.get("depthwise_kernel")):
        said.setdefault("depth_multiplier", kernel[-1])
    if node.cls in ("GRU", "GRUCell") and len(shapes.get("bias", (0, 0))) == 1:
        said["kind"] = RESET_BEFORE.replace("GRU", node.cls)
    if node.cls == "EinsumDense":
        said["einsum_neurons"] = list(_einsum(node, shapes))
    return said


def _plain(value: Any) -> bool:
    """Whether a setting is a word, a number or a short list of numbers."""
    if isinstance(value, list):
        return len(value) <= 8 and all(type(item) is int for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _einsum(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The axes of an EinsumDense's kernel that are its neurons: those that its output has too."""
    kernel = shapes.get("kernel", ())
    if node.step in ("query_dense", "key_dense", "value_dense", "gate_dense"):
        return kernel[1:]
    if node.step == "output_dense":
        return kernel[2:]
    equation = node.config.get("equation")
    return einsum_neurons(equation, kernel) if isinstance(equation, str) and "->" in equation else kernel[1:]

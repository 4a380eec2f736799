"""A model's config as Keras writes it: JSON text that is read and never built.

Keras 3 writes each layer as {"module", "class_name", "config", "registered_name", ...}, Keras 2 without the module. No
class that it names is imported and no function in it is called; what a layer's arrays are is known for Keras' own
classes, from tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from ...errors import FileError
from .._safetensors_header import shown
from ._classes import EINSUMS, FOLDED, WRAPPED, snake

__all__ = ["Node", "parse", "root", "warnings"]

CONFIG_MOST = 8 << 20
"""Longest config that is parsed, in bytes."""
WARNINGS_MOST = 20
_OWN = ("keras.", "tf_keras.", "tensorflow.")
_BAD = "the file is damaged or was made to deceive; save it again with Keras"


class Node:
    """One layer of a config: its class, settings, and the parts that it is made of.

    step    what its address adds to that of the layer around it
    names   what Keras calls it in the paths of its variables
    stated  whether the file says its class, or a name in it suggests one
    """

    __slots__ = ("__dict__", "cls", "config", "kind", "name", "names", "stated", "step")

    def __init__(self, said: Mapping[str, Any], step: str = "", stated: bool = True) -> None:
        self.cls = _text(said.get("class_name"))
        config = said.get("config")
        if isinstance(config, list):  # the config of a Sequential of early Keras 2
            config = {"layers": config}
        self.config: Mapping[str, Any] = config if isinstance(config, dict) else {}
        self.name = _text(self.config.get("name")) or _text(said.get("name"))
        self.names: tuple[str, ...] = (self.name,)
        self.step = step
        self.stated = stated
        self.kind = _kind(said, self.cls)

    @property
    def own(self) -> bool:
        """Whether it is of a class of Keras itself."""
        return self.kind.startswith("keras.")

    @property
    def mode(self) -> str:
        """How it is quantised: "int8"; empty if it is not."""
        policy = self.config.get("dtype")
        inner = policy.get("config") if isinstance(policy, dict) else None
        return _text(inner.get("mode")) if isinstance(inner, dict) else ""

    @cached_property
    def layers(self) -> tuple[tuple[str, Node], ...]:
        """The layers of a model, or cells of a stack, in their order, with the group in which Keras 3 puts each."""
        word = "cells" if self.cls == "StackedRNNCells" else "layers"
        entries = self.config.get(word)
        used: dict[str, int] = {}
        found: list[tuple[str, Node]] = []
        for said in entries if isinstance(entries, list) else ():
            if isinstance(said, dict) and not _operation(said):
                node = Node(said, "", self.stated)
                node.name = node.name or _text(said.get("name"))
                node.step = f"cells.{len(found)}" if word == "cells" else node.name
                base = snake(node.cls)
                count = used[base] = used.get(base, -1) + 1
                found.append((f"{base}_{count}" if count else base, node))
        return tuple(found)

    @cached_property
    def scopes(self) -> Mapping[str, Node]:
        """Its layers and parts by what Keras calls them in the paths of variables."""
        named = {name: part for part in reversed(list(self.parts.values())) for name in part.names if name}
        return {**named, **{layer.name: layer for _, layer in reversed(self.layers) if layer.name}}

    @cached_property
    def parts(self) -> Mapping[str, Node]:
        """What it holds as attributes: attribute -> layer. Those of Keras' own classes are known."""
        if self.cls in FOLDED:
            return {"cell": self._folded()}
        if self.cls in EINSUMS:
            return {f"{word}_dense": self._einsum(word) for word in EINSUMS[self.cls]}
        inner = {word: said for word in WRAPPED if isinstance(said := self.config.get(word), dict)}
        if self.cls == "Bidirectional":
            return self._both(inner) if "layer" in inner else {}
        return {word: Node(said, word, self.stated) for word, said in inner.items()}

    def _both(self, inner: Mapping[str, Any]) -> Mapping[str, Node]:
        forward = inner["layer"]
        nodes = {}
        for side, said in (("forward", forward), ("backward", inner.get("backward_layer", forward))):
            node = Node(said, f"{side}_layer", self.stated)
            base = node.name.removeprefix("forward_").removeprefix("backward_")
            node.names = (node.name, f"{side}_{base}", f"{side}_{node.name}")
            nodes[node.step] = node
        if "backward_layer" not in inner:
            nodes["backward_layer"].names = nodes["backward_layer"].names[1:]
        return nodes

    def _folded(self) -> Node:
        """The cell of an LSTM: its arrays are those of the layer, and so are its settings."""
        node = Node({"class_name": f"{self.cls}Cell", "module": "keras.layers", "config": self.config}, "", self.stated)
        node.cls, node.kind, node.names = self.cls, self.kind, (f"{snake(self.cls)}_cell", "conv_lstm_cell")
        return node

    def _einsum(self, word: str) -> Node:
        node = Node({"class_name": "EinsumDense", "module": "keras.layers", "config": {}}, f"{word}_dense", self.stated)
        biased = self.config.get("use_bias", True)
        node.config = {"bias_axes": biased, "dtype": self.config.get("dtype")} if self.config else {}
        node.names = ("attention_output",) if word == "output" else (word,)
        return node


def _kind(said: Mapping[str, Any], cls: str) -> str:
    """The full name of a class: Keras' own by its public path, another one by its own module."""
    module = _text(said.get("module"))
    registered = _text(said.get("registered_name"))
    if not cls or (registered and ">" in registered and registered.partition(">")[0] != "Custom" and not module):
        return registered.replace(">", ".")
    if not module or module == "keras" or f"{module}.".startswith(_OWN):
        return f"keras.random.{cls}" if cls == "SeedGenerator" else f"keras.layers.{cls}"
    return f"{module}.{cls}"


def _operation(said: Mapping[str, Any]) -> bool:
    """Whether an entry among a model's layers is a bare operation, which is no layer and has no arrays."""
    module = _text(said.get("module"))
    return module.startswith(("keras.src.ops", "keras.ops"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def parse(path: str, text: str | bytes, what: str) -> Mapping[str, Any]:
    """JSON text as it is written. FileError for what is none, is too long or deep, or says one thing twice."""
    if len(text) > CONFIG_MOST:
        raise FileError(path, f"{what} has {len(text):,} bytes; at most {CONFIG_MOST:,} are read", place=what)
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs, what))
    except RecursionError:
        raise FileError(path, "it is nested too deeply", place=what, hint=_BAD) from None
    except ValueError as error:
        raise FileError(path, f"it is not JSON: {shown(str(error))}", place=what, hint=_BAD) from None
    if not isinstance(found, dict):
        raise FileError(path, "it is not a JSON object", place=what, hint=_BAD)
    return found


def _once(path: str, pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    doubled = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    raise FileError(path, f"it says {shown(doubled)!r} twice in one object", place=what, hint=_BAD)


def root(config: Mapping[str, Any]) -> Node:
    """The model that a config describes."""
    return Node(config)


def warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """What people should know of a config: code in it, classes that are not Keras' own."""
    found: dict[str, None] = {}
    for said in _entries(config):
        node = Node(said)
        name = shown(node.name or node.cls, 60)
        if node.cls == "Lambda":
            found[f"{name!r} is a Lambda layer: it holds Python code, which is not run"] = None
        elif node.cls and not node.own and "config" in said and "registered_name" in said:
            found[f"{name!r} is of the class {shown(node.kind, 80)}, which is not imported"] = None
        if len(found) > WARNINGS_MOST:
            break
    yield from list(found)[:WARNINGS_MOST]
    if len(found) > WARNINGS_MOST:
        yield "more layers hold code, or are of classes that are not Keras' own"


def _entries(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every object in a config that could describe a layer, however deep."""
    waiting: list[Any] = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item
            waiting += reversed(list(item.values()))
        elif isinstance(item, list):
            waiting += reversed(item)

"""The layout of Keras 2 (`.h5`, and `.weights.h5` of its time): a group a layer, in it the variables by their paths.

A group has the attribute `layer_names`; in each layer's group `weight_names` lists paths such as
`bidirectional/forward_lstm/lstm_cell/kernel:0` (keras/src/legacy/saving/legacy_h5_format.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .._hdf5_tree import Dataset, Group
from .._suggest_kernel import suggest
from ._classes import class_of
from ._config import Node
from ._found import Found, inside

__all__ = ["is_legacy", "read_legacy"]

TOP, STACK = "top_level_model_weights", "stacked_rnn_cells"
_CELL = re.compile(r"(lstm|gru|simple_rnn|conv_lstm(\dd)?)_cell(_\d+)?")
"""The scope that a recurrent layer makes for its own cell."""


def is_legacy(tree: Group) -> bool:
    """Whether a group holds layers in this layout."""
    return "layer_names" in tree.said


def read_legacy(tree: Group, node: Node | None, found: Found) -> None:
    """Every layer of the file, in the network's order. Without a config, classes are inferred from names and shapes."""
    layers = {layer.name: layer for _, layer in node.layers} if node is not None else {}
    listed = [name for name in (*tree.list("layer_names"), TOP) if name in tree.groups]
    for name in dict.fromkeys((*listed, *tree.groups)):
        _group(name, tree.groups[name], layers.get(name), found)
    if tree.datasets:
        found.add("", None, {_word(name): dataset for name, dataset in tree.datasets.items()})
    found.drop_idle()


def _group(name: str, group: Group, node: Node | None, found: Found) -> None:
    """The layers in the group of one layer of the model."""
    start = "" if name == TOP else name
    node = node if node is not None else _scoped(name, group)
    held: dict[str, tuple[Node | None, dict[str, Dataset]]] = {}
    if node is not None:
        for address, part in _parts(node, start):
            held.setdefault(address, (part, {}))
    for path, dataset in _ordered(group):
        address, placed = _placed(path[:-1], name, node, start, path[-1])
        if _word(path[-1]) in held.get(address, (None, {}))[1]:
            address, placed = inside(start, ".".join(path[:-1])), None
        held.setdefault(address, (placed, {}))[1][_word(path[-1])] = dataset
    for address, (known, arrays) in held.items():
        if (known is None or not known.kind) and arrays:
            kind = suggest(address, {word: dataset.shape for word, dataset in arrays.items()}, keras=True)
            cls = kind.removeprefix("keras.layers.").partition(":")[0]
            known = Node({"class_name": cls}, stated=False) if kind.startswith("keras.layers.") else None
        found.add(address, known, arrays)


def _scoped(name: str, group: Group) -> Node | None:
    """A layer of parts, where there is no config and the scopes that Keras makes for the parts tell of it."""
    scopes = {scope for inner in (group, *group.groups.values()) for scope in inner.groups}
    if {"query", "key", "value", "attention_output"} <= scopes:
        return Node({"class_name": "MultiHeadAttention"}, stated=False)
    for scope in sorted(scopes):
        base = scope.removeprefix("forward_")
        if base != scope and f"backward_{base}" in scopes:
            layer = {"class_name": class_of(base), "config": {"name": base}}
            return Node({"class_name": "Bidirectional", "config": {"name": name, "layer": layer}}, stated=False)
    return None


def _parts(node: Node, address: str) -> Iterator[tuple[str, Node]]:
    """The attentions of a layer, which are listed before their projections."""
    if node.parts or not node.layers:
        yield address, node
    for _, layer in node.layers:
        yield inside(address, layer.step), layer


def _ordered(group: Group) -> Iterator[tuple[tuple[str, ...], Dataset]]:
    """The datasets of a layer by their paths in its group: first in the order of its list, then others."""
    depth = len(group.path)
    found = {dataset.path[depth:]: dataset for dataset in group.walk()}
    listed = [tuple(name.split("/")) for name in group.list("weight_names")]
    for path in dict.fromkeys((*(path for path in listed if path in found), *found)):
        yield path, found[path]


def _placed(path: tuple[str, ...], name: str, node: Node | None, start: str, last: str) -> tuple[str, Node | None]:
    """The address of the layer that a variable belongs to, by the scopes of its path."""
    own = path.index(name) + 1 if name in path[:2] else 0  # a Sequential of Keras 3 puts its own name before
    scopes = list(path[own:])
    address = start
    while scopes and node is not None:
        inner = node.scopes.get(scopes[0])
        if inner is None:
            break
        address, node = inside(address, inner.step), inner
        scopes.pop(0)
    if node is not None and "layer" in node.parts and not scopes and _word(last) != "vector_u":
        node = node.parts["layer"]  # Keras 2 gives the variables of a wrapped layer the scope of the wrapper
        return inside(address, node.step), node
    if STACK not in scopes:
        scopes = [scope for scope in scopes if not _CELL.fullmatch(scope)]
    if not scopes:
        return address, node
    return inside(address, ".".join(scopes)), None


def _word(name: str) -> str:
    """A variable's name without the output's number that TensorFlow adds.

    >>> _word("kernel:0")
    'kernel'
    """
    return name.partition(":")[0].replace(".", "_") or name.replace(".", "_")

"""The layout of Keras 3 (`.weights.h5`, and inside `.keras`): groups named by attributes, variables by numbers.

A model's layers lie in `layers/<class in snake case>`, what a layer holds as an attribute in a group of that name, and
its own variables in `vars/0`, `vars/1`, ... (keras/src/saving/saving_lib.py). Newer versions write a layer's name as an
attribute of `vars`. Versions up to 2.13 called `layers` `_layer_checkpoint_dependencies`.
"""

from __future__ import annotations

from collections.abc import Iterator

from .._hdf5_tree import Dataset, Group
from .._safetensors_header import shown
from ._classes import class_of, guess, variables
from ._config import Node
from ._found import Found, inside

__all__ = ["is_weights", "read_weights"]

VARS = "vars"
CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "cells")
BESIDE = ("optimizer",)
"""What is saved beside a network's layers and is no layer of it."""


def is_weights(tree: Group) -> bool:
    """Whether a file is of this layout: somewhere near its root lies a group `vars`."""
    near = [tree, *tree.groups.values()]
    near += [inner for group in tree.groups.values() for inner in group.groups.values()]
    return any(VARS in group.groups for group in near)


def read_weights(tree: Group, node: Node | None, found: Found) -> None:
    """Every layer of the file. Where there is no config, classes are inferred from the names of groups, and shapes."""
    for name in BESIDE:
        if tree.groups.pop(name, None) is not None:
            found.notes.append(f"the state of the {name} is not read")
    _layer(tree, node, "", found)
    found.drop_idle()
    held = {id(array.storage) for array in found.arrays}
    left = [shown("/".join(dataset.path)) for dataset in tree.walk() if id(dataset.storage) not in held]
    if left:
        more = ", ..." if len(left) > 4 else ""
        found.notes.append(
            f"{len(left)} datasets lie where Keras puts none and are not read: {', '.join(left[:4])}{more}"
        )


def _layer(group: Group, node: Node | None, address: str, found: Found) -> None:
    """A layer, then what it is made of: first the parts that its config tells of, then others."""
    numbered = _numbered(group)
    node, held = _named(node, numbered, address, found)
    found.add(address, node, held)
    claimed: set[tuple[str, ...]] = set()
    for path, inner, part in _told(group, node):
        claimed.add(path)
        _layer(inner, part, inside(address, part.step), found)
    for path, inner in _others(group):
        if path not in claimed:
            step = _step(path, inner)
            _layer(inner, _suggested(path, inner), inside(address, step), found)


def _numbered(group: Group) -> dict[str, Dataset]:
    """The layer's own variables, in the order of their numbers."""
    own = group.groups.get(VARS)
    if own is None:
        return {}
    order = sorted(own.datasets, key=lambda name: (not _is_number(name), int(name) if _is_number(name) else 0))
    return {name: own.datasets[name] for name in order}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 7


def _named(
    node: Node | None, numbered: dict[str, Dataset], address: str, found: Found
) -> tuple[Node | None, dict[str, Dataset]]:
    """The variables by their names. Where those are not known they keep their numbers, which is noted."""
    datasets = list(numbered.values())
    if not datasets or not all(map(_is_number, numbered)):
        return node, {name.replace(".", "_"): dataset for name, dataset in numbered.items()}
    if node is not None and node.stated:
        words = variables(node.cls, node.config, len(datasets), node.mode) if node.own else ()
        if not words and node.own and node.cls not in ("Functional", "Sequential", "Model"):
            shown_as = f"{shown(address or 'the network', 80)!r} ({shown(node.cls, 40)})"
            found.notes.append(f"{shown_as} has {len(datasets)} variables, whose names are not known")
            return None, numbered
    else:
        cls, words = guess([dataset.shape for dataset in datasets], node.cls if node is not None else "")
        if cls and (node is None or node.cls != cls):
            node = Node({"class_name": cls}, stated=False)
    return node, dict(zip(words, datasets, strict=True)) if words else numbered


def _told(group: Group, node: Node | None) -> Iterator[tuple[tuple[str, ...], Group, Node]]:
    """The groups of the parts that a config tells of, in its order."""
    if node is None:
        return
    for container in CONTAINERS:
        held = group.groups.get(container)
        if held is None or VARS in held.groups:
            continue
        by_name = {name: key for key, inner in held.groups.items() if (name := _own_name(inner))}
        for key, layer in node.layers:
            key = by_name.get(layer.name, key)
            inner = held.groups.get(key)
            if inner is not None and _own_name(inner) in ("", layer.name):
                yield (container, key), inner, layer
    for word, part in node.parts.items():
        for key in (word, f"_{word}"):
            if key in group.groups:
                yield (key,), group.groups[key], part
                break


def _own_name(group: Group) -> str:
    own = group.groups.get(VARS)
    return own.text("name") if own is not None else ""


def _others(group: Group) -> Iterator[tuple[tuple[str, ...], Group]]:
    """Every group of a part: layers in a container, and attributes."""
    for key, inner in group.groups.items():
        if key == VARS:
            continue
        if key in CONTAINERS and VARS not in inner.groups:
            yield from (((key, name), layer) for name, layer in inner.groups.items())
        else:
            yield (key,), inner


def _step(path: tuple[str, ...], group: Group) -> str:
    """What the address of a layer says of it: the name that Keras has for a layer in a model, else the attribute."""
    if len(path) == 1:
        return path[0]
    name = _own_name(group) or path[1]
    return inside(path[0], name) if path[0] == "cells" else name


def _suggested(path: tuple[str, ...], group: Group) -> Node | None:
    """A class that the names of a group suggest, or the cell in it."""
    cls = class_of(path[-1], _own_name(group))
    if not cls and "cell" in group.groups:
        cls, _ = guess([dataset.shape for dataset in _numbered(group.groups["cell"]).values()])
    return Node({"class_name": cls}, stated=False) if cls else None

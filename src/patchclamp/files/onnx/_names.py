"""What layers are called: as the network that a file was exported from calls them, where the file tells.

Exporters keep names in three places. torch names initializers as parameters are (`conv1.weight`), and nodes by the
modules that ran them (`/encoder/layer.0/query/MatMul`), or says those in a node's metadata. Converters from TensorFlow
name nodes by scopes that begin with the model's name (`model_1/dense/MatMul`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._nodes import Node

__all__ = ["anonymous", "prefix", "scope"]

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_MODEL = re.compile(r"(?:model|sequential|functional|keras_model)(?:_\d+)?\Z")
_CALLS = {"StatefulPartitionedCall", "PartitionedCall"}
_ANONYMOUS = re.compile(r"onnx::|const_fold_opt__|\d+\Z|new_shape__|pad_const__|const_")


def anonymous(name: str) -> bool:
    """Whether an exporter made the name up: it says nothing of the network."""
    return _ANONYMOUS.match(name) is not None or "/" in name


def prefix(names: Iterable[tuple[str, str]]) -> str | None:
    """The layer whose parameters these are, from pairs of a word and a name: the first `layer.word`, or a bare word."""
    for word, name in names:
        if name == word:
            return ""
        if name.endswith(f".{word}") and len(name) > len(word) + 1 and "/" not in name:
            return name[: -len(word) - 1]
    return None


def scope(node: Node) -> tuple[str, str]:
    """The module that ran a node, as its name or metadata say, and what the node is called in it.

    >>> node = object.__new__(Node)
    >>> node.scopes, node.name = "", "/encoder/layer.0/seq/seq.1/MatMul"
    >>> scope(node)
    ('encoder.layer.0.seq.1', 'MatMul')
    """
    if node.scopes:
        found = [first or second for first, second in _QUOTED.findall(node.scopes)]
        if len(found) > 1 and found[-2]:
            return found[-2], found[-1]
    name = node.name.partition(";")[0]
    parts = [part for part in name.split("/") if part]
    if "/" not in name or not parts:
        return "", node.name
    last = parts.pop().partition("__")[0]
    if not name.startswith("/"):
        parts = [part for part in parts if part not in _CALLS]
        if parts and _MODEL.match(parts[0]):
            parts = parts[1:]
    return ".".join(_joined(parts)), last


def _joined(parts: list[str]) -> list[str]:
    """The modules without the containers whose names those inside repeat: `seq`, `seq.0` is `seq.0`."""
    kept: list[str] = []
    for part in parts:
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    return kept

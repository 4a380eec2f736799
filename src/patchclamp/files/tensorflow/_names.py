"""What the tensors of a checkpoint are called: by the variables' own names, else by their keys; and what is no weight.

A checkpoint of objects (TensorFlow 2) has keys such as `layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE`; its graph
of objects says that this variable is `conv2d/kernel` (tensorflow/core/protobuf/trackable_object_graph.proto). In one of
names (TensorFlow 1) the keys are the names.
"""  # noqa: E501

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ...errors import FileError
from .._protobuf import Malformed, fields
from ..source import Source
from ._bundle import Entry

__all__ = ["GRAPH", "full_names", "is_copy", "is_state", "names_of", "paths_of"]

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the graph of objects."""
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOT = "/.OPTIMIZER_SLOT/"
_TRAINED = "optimizer/_trainable_variables/"
_AGAIN = "_all_variables/"
"""Where Keras 3 exports every variable a second time."""
_STATE = ("optimizer/", "_optimizer/", "keras_api/", "save_counter/", ".ATTRIBUTES/")
"""What the keys of optimizers, of metrics and of counters begin with."""


def full_names(source: Source, data: bytes) -> dict[str, str]:
    """Checkpoint key -> the variable's own name, from the graph of objects. FileError where it cannot be read."""
    try:
        return dict(_attributes(data))
    except Malformed as error:
        reason = f"its graph of objects cannot be read: {error.reason}"
        raise FileError(source.path, reason, array=GRAPH, hint="the checkpoint is damaged; copy it again") from error


def _attributes(data: bytes) -> Iterator[tuple[str, str]]:
    """Graph: nodes 1; node: attributes 2; attribute: full name 2, checkpoint key 3."""
    for number, wire, begin, end in fields(data, 0, len(data)):
        if (number, wire) != (1, 2):
            continue
        for inner, kind, start, stop in fields(data, begin, end):
            if (inner, kind) == (2, 2):
                said = {n: data[v:e] for n, w, v, e in fields(data, start, stop) if w == 2}
                yield _text(said.get(3, b"")), _text(said.get(2, b""))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def is_state(key: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a tensor belongs to the training and not to the network: to an optimizer, a metric, a counter.

    Where Keras 3 saves a network with its optimizer, the weights may stand under the optimizer, which trains them. The
    optimizers of TensorFlow 1 name what they keep after the variable that they keep it for: `dense/kernel/Adam_1`.
    """
    base = key.removesuffix(_VALUE)
    if base != key:
        if _TRAINED in base:
            return False
        parts = f"{base}/"
        return _SLOT in base or parts.startswith(_STATE) or any(f"/{start}" in parts for start in _STATE)
    owner = entries.get(key.rpartition("/")[0])
    return owner is not None and owner.shape == entries[key].shape


def is_copy(key: str, said: Mapping[str, str], named: Mapping[str, int]) -> bool:
    """Whether the same variable is stored under another key too; `named` counts the keys of each name."""
    return key.startswith(_AGAIN) and named.get(said.get(key, ""), 0) > 1


def names_of(keys: list[str], said: Mapping[str, str]) -> dict[str, str]:
    """Key -> name, no two alike: the variable's own where it tells variables apart, else the key without its ending.

    Keras 3 puts the network's own name before all of them, which no other of its files does; that is left out.
    """
    own = {key: said.get(key, "").removesuffix(":0") for key in keys}
    seen = Counter(own.values())
    if not all("/" in name and seen[name] == 1 for name in own.values()):
        return {key: key.removesuffix(_VALUE).removesuffix(":0") for key in keys}
    first = {name.partition("/")[0] for name in own.values()}
    if len(first) == 1 and all(name.count("/") > 1 for name in own.values()):
        return {key: name.partition("/")[2] for key, name in own.items()}
    return own


def paths_of(keys: list[str], names: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The address of each tensor, layer and word with a dot between, and other names of the layers.

    >>> paths_of(["net/d/kernel"], {"net/d/kernel": "net/d/kernel"})
    (['net.d.kernel'], {'net/d': 'net.d', 'd': 'net.d'})
    """
    paths: list[str] = []
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        spelled, _, word = names[key].rpartition("/")
        layer = spelled.replace("/", ".")
        path = f"{layer}.{word}" if layer else word
        if path in taken:
            layer, path = "", key
        taken.add(path)
        paths.append(path)
        beside, _, own = key.removesuffix(_VALUE).rpartition("/")
        beside = beside if own == word else ""
        for alias in (spelled, beside, layer.removeprefix("model."), layer.removeprefix("net.")):
            if layer and alias:
                found.setdefault(alias, layer)
    layers = {path.rpartition(".")[0] for path in paths}
    return paths, {alias: layer for alias, layer in found.items() if alias not in layers}

"""Write a network, or the change that an edit makes, to safetensors; and apply such a change again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from .arrays import Array
from .axes import Key
from .edit import Edit
from .errors import EditError, FileError
from .files.safetensors import open_file, write
from .model import LayerInfo, Model

__all__ = ["LAYERS", "apply_delta", "save_delta", "save_network"]

LAYERS = "patchclamp.layers"
DELTA = "patchclamp.delta"


def save_network(model: Model, path: str | PathLike[str]) -> None:
    """Write every array of the network's state, atomically. Ties are stored once and named in the metadata.

    The metadata also states each layer's kind, so that the file says what its arrays are.
    """
    if model.keeper is None:
        raise EditError(f"{model.source} is a file already", "edit it: net.edit(), edit.keep(path)")
    entries, ties = model.keeper.state()
    tensors = [(name, dtype, shape, chunks()) for name, dtype, shape, chunks in entries]
    write(path, tensors, {"format": "pt", LAYERS: json.dumps(_kinds(model)), **ties})


def _kinds(model: Model) -> dict[str, Any]:
    return {name: _statement(layer) for name, layer in model.layers.items() if layer.kind is not None and layer.arrays}


def _statement(layer: LayerInfo) -> dict[str, Any]:
    """What a file cannot show: the kind, and the attributes that its lines and formula ask for."""
    kind = layer.kind
    assert kind is not None
    stated: dict[str, Any] = {}
    for key, attribute in kind.sizes.items():
        if key in layer.sizes:
            stated[attribute] = layer.sizes[key]
    for word, attribute in kind.config.items():
        if word in layer.config and _plain(layer.config[word]):
            stated[attribute] = layer.config[word]
    return {"kind": kind.name, **stated}


def _plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, (bool, int, float, str))
        or (isinstance(value, tuple) and all(map(_plain, value)))
    )


def save_delta(edit: Edit, path: str | PathLike[str]) -> None:
    """Write the change alone: the values now at every place that the edit touched, and what the rest must be.

    The file holds a SHA-256 of every array as it was before the edit, so that it applies to that model only.
    """
    saved = edit.ledger.saved()
    if not saved:
        raise EditError("the edit changed nothing, so there is nothing to save")
    keeper = edit.model.keeper
    tensors, places = [], []
    for number, (array, key, before) in enumerate(_merged(saved)):
        data = keeper.raw(array.read(key))
        tensors.append((f"{number}", array.dtype, tuple(before.shape), [data]))
        places.append({"array": array.path, "key": [_spell(index) for index in key]})
    described = {"version": 1, "places": places, "before": _digests(edit.model, saved)}
    write(path, tensors, {DELTA: json.dumps(described)})


def _merged(saved: Iterable[tuple[Array, Key, Any]]) -> list[tuple[Array, Key, Any]]:
    """Each place once, however often it was written."""
    found = {(array.path, str(key)): (array, key, before) for array, key, before in saved}
    return list(found.values())


def _spell(index: int | slice) -> int | list[int | None]:
    return index if isinstance(index, int) else [index.start, index.stop, index.step]


def _digests(model: Model, saved: Iterable[tuple[Array, Key, Any]]) -> dict[str, str]:
    """The SHA-256 of every array of the state; touched ones as they were before the edit."""
    before: dict[str, Any] = {}
    entries, _ = model.keeper.state()
    names = {name for name, *_ in entries}
    for array, key, value in reversed(list(saved)):
        owner = next((path for path in (array.path, *array.tied) if path in names), array.path)
        if owner not in before:
            before[owner] = model.runner.copy(model.arrays[owner].read())
        before[owner][key] = value
    return {
        name: _digest(dtype, shape, [model.keeper.raw(before[name])] if name in before else chunks())
        for name, dtype, shape, chunks in entries
    }


def _digest(dtype: str, shape: tuple[int, ...], chunks: Iterable[Any]) -> str:
    digest = hashlib.sha256(f"{dtype}{shape}".encode())
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def apply_delta(edit: Edit, path: str | PathLike[str]) -> None:
    """Apply a saved change within an edit. Raises EditError, before anything is touched, for any other model."""
    with open_file(path) as file:
        described = _described(path, file.metadata)
        _compare(edit.model, described["before"], path)
        plan = []
        stored = {array.name: array for array in file.arrays}
        for number, place in enumerate(described["places"]):
            array, values = edit.model.arrays[place["array"]], stored[f"{number}"].read()
            key = tuple(index if isinstance(index, int) else slice(*index) for index in place["key"])
            plan.append((array, key, edit.model.keeper.from_raw(values.dtype, values.shape, values.data)))
    for array, key, value in plan:
        edit.ledger.check(array, key, value, f"the change in {path}")
    for array, key, value in plan:
        edit.ledger.change(array, key, "set", value)


def _described(path: str | PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    if DELTA not in metadata:
        raise FileError(path, "it holds a network, not a change", hint="a change is written by edit.save(path)")
    try:
        found: dict[str, Any] = json.loads(metadata[DELTA])
        found["before"].items()
        [(place["array"], place["key"]) for place in found["places"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(path, "its description of the change cannot be read", place=DELTA) from error
    return found


def _compare(model: Model, before: Mapping[str, str], path: str | PathLike[str]) -> None:
    entries, _ = model.keeper.state()
    now = {name: _digest(dtype, shape, chunks()) for name, dtype, shape, chunks in entries}
    different = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    if different:
        raise EditError(
            f"{path} is a change of another model: {len(different)} of {len(now)} arrays differ from the one it was made "
            f"on, first {different[0]!r}",
            "nothing was changed",
        )

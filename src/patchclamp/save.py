"""Write a network, or the change that an edit makes, to safetensors; and apply such a change again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

from .arrays import Array
from .axes import Key, Line
from .edit import Edit
from .errors import EditError, FileError
from .files._handle import path_text
from .files.keeper import FileKeeper
from .files.keys import spans, within
from .files.safetensors import SafetensorsFile, Tensor, open_file, write
from .model import LayerInfo, Model

__all__ = ["LAYERS", "apply_delta", "save_delta", "save_network", "save_undo"]

LAYERS = "patchclamp.layers"
_MAKERS = {"torch": "pt", "tensorflow": "tf", "jax": "flax"}
"""Framework -> what safetensors calls it."""
_OTHERS = (
    *(".pt", ".pth", ".bin", ".ckpt", ".index", ".npz", ".npy", ".keras", ".h5", ".hdf5", ".tf", ".pb", ".tflite"),
    *(".onnx", ".gguf", ".msgpack", ".eqx", ".pkl", ".pickle", ".joblib"),
)
"""Endings of other formats."""
DELTA = "patchclamp.delta"


def save_network(model: Model, path: str | PathLike[str]) -> None:
    """Write every array of the network's state, atomically. Ties are stored once and named in the metadata.

    The metadata also states each layer's kind, so that the file says what its arrays are. A path with an ending of the
    framework's own formats is written by the framework itself.
    """
    path = path_text(path)
    if model.keeper is not None and model.keeper.save_as(path):
        return
    if model.runner is None:
        raise EditError(f"{model.source} is a file already", "edit it: net.edit(), edit.keep(path)")
    if path.lower().endswith(_OTHERS):
        ending = path[path.rindex(".") :]
        reason = f"{model.framework} networks are not saved as {ending}, and a safetensors file should not be called so"
        raise EditError(reason, "end the name in .safetensors; nothing was written")
    entries, ties = model.keeper.state()
    tensors = [(name, dtype, shape, chunks()) for name, dtype, shape, chunks in entries]
    write(path, tensors, {"format": _MAKERS.get(model.framework, "np"), LAYERS: json.dumps(_kinds(model)), **ties})


def _kinds(model: Model) -> dict[str, Any]:
    return {name: _statement(layer) for name, layer in model.layers.items() if _stated(layer)}


def _stated(layer: LayerInfo) -> bool:
    return layer.kind is not None and bool(layer.arrays or layer.populations)


def _statement(layer: LayerInfo) -> dict[str, Any]:
    """What a file cannot show: the kind, and the attributes that its lines and formula ask for."""
    kind = layer.kind
    assert kind is not None
    stated: dict[str, Any] = {}
    for key, attribute in kind.sizes.items():
        names = Line.parse(key).names if key.startswith("(") else (key,)
        if all(name in layer.sizes for name in names):
            sizes = [layer.sizes[name] for name in names]
            stated[_spelled(attribute)] = math.prod(sizes) if key.startswith("(") else sizes[0]
    for word, attribute in kind.config.items():
        if word in layer.config and _plain(layer.config[word]):
            stated[_spelled(attribute)] = layer.config[word]
    return {"kind": kind.name, **stated}


def _spelled(attribute: str) -> str:
    """The first of the ways in which classes spell an attribute."""
    return attribute.partition("|")[0]


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
    path = path_text(path)
    saved = edit.ledger.saved()
    if not saved:
        raise EditError("the edit changed nothing, so there is nothing to save")
    keeper = edit.model.keeper
    tensors: list[Tensor] = []
    places: list[dict[str, Any]] = []
    for number, (array, key, before) in enumerate(_merged(saved)):
        data = keeper.raw(edit.ledger.now(array, key))
        tensors.append((f"{number}", array.dtype, tuple(before.shape), [data]))
        places.append({"array": array.path, "key": [_spell(index) for index in key]})
    _write_delta(path, tensors, places, keeper.state(saved)[0])


def save_undo(edit: Edit, path: str | PathLike[str]) -> None:
    """Write the change that puts the edit of a file back, bit for bit: it applies to the file as the edit leaves it.

    It is for a file with that content, under any name, and holds a SHA-256 of every array; so all of the file is read.
    EditError for a live network, which is put back by `edit.restore()`.
    """
    path = path_text(path)
    keeper = edit.model.keeper
    if not isinstance(keeper, FileKeeper):
        hint = "edit.restore() puts it back, and so does the end of its with block"
        raise EditError("an undo file is for an edit of a file, not of a live network", hint)
    saved = edit.ledger.saved()
    if not saved:
        raise EditError("the edit changed nothing, so there is nothing to put back")
    tensors: list[Tensor] = []
    places: list[dict[str, Any]] = []
    for number, (array, key, _) in enumerate(_merged(saved)):
        before = keeper.before(array, key)
        tensors.append((f"{number}", array.dtype, before.shape, [before.data]))
        places.append({"array": array.path, "key": [_spell(index) for index in key]})
    _write_delta(path, tensors, places, keeper.after(edit.ledger))


def _write_delta(path: str, tensors: list[Tensor], places: list[dict[str, Any]], entries: Iterable[Any]) -> None:
    digests = {name: _digest(dtype, shape, chunks()) for name, dtype, shape, chunks in entries}
    write(path, tensors, {DELTA: json.dumps({"version": 1, "places": places, "before": digests})})


def _merged(saved: Iterable[tuple[Array, Key, Any]]) -> list[tuple[Array, Key, Any]]:
    """Each place once: what lies within another place is saved with that one."""
    found: list[tuple[Array, Key, Any]] = []
    for array, key, before in saved:
        mine = spans(array.shape, key)
        alike = [(other, spans(array.shape, other[1])) for other in found if other[0].path == array.path]
        if any(within(mine, theirs) for _, theirs in alike):
            continue
        covered = [id(other) for other, theirs in alike if within(theirs, mine)]
        found = [other for other in found if id(other) not in covered] + [(array, key, before)]
    return found


def _spell(index: int | slice) -> int | list[int | None]:
    return index if isinstance(index, int) else [index.start, index.stop, index.step]


def _digest(dtype: str, shape: tuple[int, ...], chunks: Iterable[Any]) -> str:
    digest = hashlib.sha256(f"{dtype}{shape}".encode())
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def apply_delta(edit: Edit, path: str | PathLike[str]) -> None:
    """Apply a saved change within an edit. Before anything is touched: FileError for a bad file, EditError for any
    other model."""
    path = path_text(path)
    with open_file(path) as file:
        described = _described(path, file.metadata)
        _compare(edit, described["before"], path)
        plan = list(_plan(edit.model, described["places"], file))
    ledger = edit.ledger
    for array, key, value in plan:
        ledger.check(array, key, "set", value, f"the change in {path}")
    mark = ledger.mark()
    try:
        for array, key, value in plan:
            ledger.change(array, key, "set", value)
    except BaseException:
        ledger.undo(mark)
        raise


def _described(path: str | PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the file says of the change. It may come from anyone: nothing in it is believed before it is checked."""
    if DELTA not in metadata:
        raise FileError(path, "it holds a network, not a change", hint="a change is written by edit.save(path)")
    try:
        found = json.loads(metadata[DELTA])
    except (ValueError, RecursionError) as error:
        raise _bad(path, "it is not JSON") from error
    if not isinstance(found, dict) or found.get("version") != 1:
        raise _bad(path, "it is not of version 1")
    before, places = found.get("before"), found.get("places")
    if not isinstance(before, dict) or not all(isinstance(digest, str) for digest in before.values()):
        raise _bad(path, "it does not say which network it is for")
    if not isinstance(places, list) or not all(map(_is_place, places)):
        raise _bad(path, "it does not say what it changes")
    return found


def _is_place(place: Any) -> bool:
    return (
        isinstance(place, dict)
        and isinstance(place.get("array"), str)
        and isinstance(place.get("key"), list)
        and all(map(_is_index, place["key"]))
    )


def _is_index(index: Any) -> bool:
    if type(index) is int:
        return index >= 0
    if not isinstance(index, list) or len(index) != 3:
        return False
    return all(part is None or (type(part) is int and part >= 0) for part in index) and index[2] != 0


def _bad(path: str | PathLike[str], reason: str) -> FileError:
    return FileError(path, f"its description of the change cannot be used: {reason}", place=DELTA)


def _plan(model: Model, places: list[Any], file: SafetensorsFile) -> Iterator[tuple[Array, Key, Any]]:
    """Where each array of the file goes. FileError where it does not fit."""
    stored = {array.name: array for array in file.arrays}
    if len(stored) != len(places) or any(f"{number}" not in stored for number in range(len(places))):
        raise _bad(file.path, f"it names {len(places)} places, the file holds {len(stored)} arrays")
    for number, place in enumerate(places):
        name, new = place["array"], stored[f"{number}"]
        array = model.arrays.get(name)
        if array is None:
            raise _bad(file.path, f"the network has no array {name!r}")
        key = tuple(index if isinstance(index, int) else slice(*index) for index in place["key"])
        if len(key) > len(array.shape) or any(
            isinstance(index, int) and index >= size for index, size in zip(key, array.shape, strict=False)
        ):
            raise _bad(file.path, f"{name} of shape {array.shape} has no place {place['key']}")
        shape = tuple(
            len(span)
            for axis, span in enumerate(spans(array.shape, key))
            if axis >= len(key) or isinstance(key[axis], slice)
        )
        if (new.dtype, new.shape) != (array.dtype, shape):
            raise _bad(file.path, f"{name} takes {array.dtype} {shape} there, not {new.dtype} {new.shape}")
        values = new.read()
        yield array, key, model.keeper.from_raw(values.dtype, values.shape, values.data)


def _compare(edit: Edit, before: Mapping[str, str], path: str) -> None:
    different, every = _different(edit, before)
    if not different:
        return
    saved = edit.ledger.saved()
    if saved and not _different(edit, before, saved)[0]:
        raise EditError(
            f"{path} is a change of the model as it was before this edit, which has changed it already",
            "load it into a fresh edit, before other changes; nothing was changed",
        )
    raise EditError(
        f"{path} is a change of another model: {len(different)} of {every} arrays differ from the one it was "
        f"made on, first {different[0]!r}",
        f"nothing was changed{'; load it before the other changes of this edit' if saved else ''}",
    )


def _different(edit: Edit, before: Mapping[str, str], saved: Any = ()) -> tuple[list[str], int]:
    """The arrays that only one has or that differ, and how many there are in both; `saved` is laid over the model's."""
    entries, _ = edit.model.keeper.state(saved)
    now = {name: _digest(dtype, shape, chunks()) for name, dtype, shape, chunks in entries}
    every = list(dict.fromkeys((*before, *now)))
    return [name for name in every if before.get(name) != now.get(name)], len(every)

"""From the index of a checkpoint, a SavedModel's folder or a `checkpoint` file to the arrays of the network."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...arrays import DTYPES, Array
from ...errors import FileError
from .._handle import FileHandle
from .._strided import Strided
from .._suggest_kernel import suggest
from .._unread import Unread
from ..joined import Joined
from ..source import Source, read_all
from ..stored import Says, Stored
from ._bundle import STRING, Bundle, Entry, open_bundle
from ._names import GRAPH, full_names, is_copy, is_state, names_of, paths_of
from ._partitions import pieces
from ._saved import configs_of, stated_layer

__all__ = ["open_checkpoint", "open_prefix", "open_saved_model", "open_source", "sniff"]

_SAVED = b"\x08\x01\x12"
"""How `saved_model.pb` begins: schema version 1, then a graph, whose first field is what it says of itself."""
_STATE = "optimizers, metrics and counters"
_CHECKPOINT_MOST = 1 << 20
_PATH = re.compile(rb'^\s*model_checkpoint_path\s*:\s*"([^"\\\n]{1,1000})"\s*$', re.MULTILINE)


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a checkpoint's index, or the graph of a SavedModel.

    An index begins with its header: the empty key and a short value that begins with the number of files.

    >>> sniff(bytes.fromhex("0000060801120208011a"), 200)
    True
    >>> sniff(bytes.fromhex("0000060800000000001a"), 20)
    False
    """
    if head.startswith(_SAVED):
        at = 3
        while at < 13 and head[at : at + 1] >= b"\x80":
            at += 1
        return head[at + 1 : at + 2] == b"\x0a"
    return size >= 61 and head[:2] == b"\0\0" and 2 <= head[2] < 64 and head[3] == 8


def open_source(source: Source) -> Stored:
    """What the index of a checkpoint or a SavedModel's graph (with `variables/` beside it) holds."""
    return _saved(source) if source.read(0, min(3, source.size)) == _SAVED else open_prefix(source)


def open_checkpoint(source: Source) -> Stored:
    """What the checkpoint holds that a file called `checkpoint` names as the latest. It must lie in the same folder."""
    found = _PATH.search(read_all(source, _CHECKPOINT_MOST, "a list of checkpoints"))
    if found is None:
        reason = "it names no checkpoint: there is no line model_checkpoint_path"
        raise FileError(source.path, reason, hint="give the .index file of one")
    name = found[1].decode("utf-8", "backslashreplace")
    name = re.split(r"[/\\]", name)[-1] if os.path.isabs(name) else name
    return open_prefix(source.sibling(f"{name}.index"))


def open_saved_model(folder: str) -> Stored:
    """The variables of the SavedModel in a folder, and what it states of its layers."""
    graph = FileHandle(os.path.join(folder, "saved_model.pb"))
    try:
        return _saved(graph)
    except BaseException:
        graph.close()
        raise


def _saved(graph: Source) -> Stored:
    index = graph.sibling("variables/variables.index")
    try:
        return _stored(open_bundle(index), graph)
    except BaseException:
        index.close()
        raise


def open_prefix(source: Source) -> Stored:
    """What a checkpoint holds, by its `.index` file; the files with the numbers lie beside it. FileError for a bad one.

    Optimizer state, metrics and text are left out, and a note says how many there are.
    """
    return _stored(open_bundle(source), None)


def _stored(bundle: Bundle, graph: Source | None) -> Stored:
    bundle.refuse_short()
    entries = bundle.entries
    said = _graph(bundle)
    texts = [key for key, entry in entries.items() if entry.dtype == STRING and key != GRAPH]
    state = [key for key, entry in entries.items() if entry.dtype != STRING and is_state(key, entries)]
    named = Counter(said.get(key, "") for key in entries)
    copies = [key for key in entries if is_copy(key, said, named)]
    left = {*texts, *state, *copies, GRAPH}
    order = {key: place for place, key in enumerate(said)}
    keys = sorted((key for key in entries if key not in left), key=lambda key: order.get(key, len(order)))
    paths, aliases = paths_of(keys, names_of(keys, said))
    if len(set(paths)) < len(paths):
        raise FileError(bundle.index.path, "two tensors have the same name", hint="save the checkpoint again")
    arrays = tuple(_array(bundle, entries[key], path) for key, path in zip(keys, paths, strict=True))
    says, notes = _says(arrays, graph)
    notes = (*_notes(texts, "text"), *_notes(state, _STATE), *_notes(copies, "variables stored twice"), *notes)
    if graph is None:
        path, name, sources = bundle.index.path, "TensorFlow checkpoint", bundle.sources
    else:
        path, name, sources = graph.path, "TensorFlow SavedModel", (*bundle.sources, graph)
    return Stored(path, name, arrays, says, aliases, {}, notes, sources)


def _says(arrays: tuple[Array, ...], graph: Source | None) -> tuple[Says, tuple[str, ...]]:
    """What the SavedModel states of the layers; of the others, what their arrays suggest that Keras calls them."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for array in arrays:
        layer, _, word = array.path.rpartition(".")
        shapes.setdefault(layer, {})[word] = array.shape
    configs, problem = ({}, "") if graph is None else configs_of(graph)
    says: dict[str, Mapping[str, Any]] = {}
    for layer, held in shapes.items():
        stated = configs.get(layer) or configs.get(layer.rpartition(".")[2])
        found = stated_layer(*stated) if layer and stated else {}
        kind = suggest(layer, held, keras=True) if layer and not found else ""
        if kind:
            found = {"kind": kind, "inferred": True}
        if found:
            says[layer] = {**{f"{word}.shape": list(shape) for word, shape in held.items()}, **found}
    return says, (problem,) if problem else ()


def _graph(bundle: Bundle) -> dict[str, str]:
    entry = bundle.entries.get(GRAPH)
    if entry is None or entry.dtype != STRING:
        return {}
    return full_names(bundle.index, bundle.text(entry))


def _notes(keys: list[str], what: str) -> tuple[str, ...]:
    if not keys:
        return ()
    count = "1 tensor" if len(keys) == 1 else f"{len(keys)} tensors"
    return (f"{count} of {what} left out: {keys[0][:120]!r}{', ...' if len(keys) > 1 else ''}",)


def _array(bundle: Bundle, entry: Entry, path: str) -> Array:
    storage = _parted(bundle, entry, path) if entry.slices else _plain(bundle, entry, path)
    if isinstance(storage, Strided):
        storage.swapped = bundle.swapped
        stored = "" if entry.key.replace("/", ".") == path else f"named {entry.key[:200]!r} in the file"
        storage.note = "; ".join(filter(None, (stored, storage.note)))
    return Array(path, path, entry.shape, entry.dtype, storage)


def _plain(bundle: Bundle, entry: Entry, path: str) -> Strided | Unread:
    if entry.dtype not in DTYPES:
        reason = f"tensors of {entry.dtype} are not read"
        return Unread(bundle.index.path, path[:200], entry.dtype, entry.shape, reason)
    return Strided(bundle.shard(entry.shard), path[:200], entry.dtype, entry.shape, entry.offset)


def _parted(bundle: Bundle, entry: Entry, path: str) -> Strided | Unread:
    parts = pieces(bundle, entry)
    if parts is None:
        reason = "it is stored in parts along another axis than the first, which is not read"
        return Unread(bundle.index.path, path[:200], entry.dtype, entry.shape, reason)
    joined = Joined([(bundle.shard(part.shard), part.offset, part.size) for part in parts], bundle.index.path)
    storage = Strided(joined, path[:200], entry.dtype, entry.shape, 0)
    storage.note = f"in {len(parts)} parts along its first axis"
    return storage

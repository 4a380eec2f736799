"""Flax's checkpoints of one file: a tree of maps in MessagePack whose leaves are arrays.

Source: flax/serialization.py of google/flax. An array is extension type 1: (shape, name of the element type, bytes) packed
once more; a longer one is a map of flat pieces. Numbers of NumPy are type 3, Python's complex ones type 2.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NoReturn

from ..arrays import DTYPES, Array
from ..errors import FileError
from ..frozen import dataclass
from ._msgpack import Ext, Run, read_tree
from ._safetensors_header import shown
from ._strided import Strided
from ._unread import Unread
from .joined import Joined
from .source import Source
from .stored import Stored

__all__ = ["open_source", "sniff"]

_ARRAY, _COMPLEX, _NUMBER = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
_ITEMS_MOST = 64
"""Most words and numbers beside the arrays that are shown."""
_AXES_MOST = 64
_OPTIMIZERS = ("opt_state", "optimizer", "optimizer_state")
"""What a training state calls the arrays of its optimizer."""
_PARAMS, _STATISTICS = "params", "batch_stats"
_VOID = {"V2": "bfloat16"}
"""How NumPy calls the types that it does not have, for what Flax writes so."""
_HINT = "the file is damaged, or is no checkpoint of Flax; save it again"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of the tree: its keys from the root on, and where its bytes lie, in one piece or many."""

    keys: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Run, ...]


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` could be a map in MessagePack, whose first key is text.

    >>> sniff(b"\\x81\\xa6params\\x80", 9), sniff(b"\\x81\\x00\\x00", 3)
    (True, False)
    """
    at = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x80 < head[0] < 0x90 else 0)
    code = head[at] if at and len(head) > at else 0
    return 0xA0 < code < 0xC0 or 0xD9 <= code <= 0xDB


def open_source(source: Source) -> Stored:
    """The arrays of a checkpoint. No numbers are read. FileError for what is no tree of arrays."""
    leaves, metadata = _leaves(source, read_tree(source, 0, source.size))
    optimizer = [leaf for leaf in leaves if leaf.keys[0] in _OPTIMIZERS]
    kept = [leaf for leaf in leaves if leaf.keys[0] not in _OPTIMIZERS]
    if not kept:
        _refuse(source, "it holds no arrays of a network", hint="give the file that holds the weights")
    paths = _paths(source, kept)
    arrays = tuple(_array(source, leaf, path) for leaf, path in zip(kept, paths, strict=True))
    notes = (f"{len(optimizer)} arrays of an optimizer are left out",) if optimizer else ()
    return Stored(source.path, "Flax msgpack", arrays, {}, _aliases(kept, paths), metadata, notes, (source,))


def _leaves(source: Source, tree: Any) -> tuple[list[Leaf], dict[str, str]]:
    """All arrays, in the file's order, and the words and numbers beside them."""
    leaves: list[Leaf] = []
    metadata: dict[str, str] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while stack:
        keys, value = stack.pop()
        if isinstance(value, dict) and _CHUNKED in value:
            leaves.append(_chunked(source, keys, value))
        elif isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack += reversed([((*keys, str(key)), inner) for key, inner in items])
        elif isinstance(value, Ext) and value.code in (_ARRAY, _NUMBER):
            leaves.append(_leaf(source, keys, value))
        elif isinstance(value, (str, int, float)) and len(metadata) < _ITEMS_MOST:
            metadata[shown("/".join(keys))] = shown(str(value))
    return leaves, metadata


def _leaf(source: Source, keys: tuple[str, ...], value: Ext) -> Leaf:
    """An array as Flax packs it. Its bytes must be as many as its shape and element type take."""
    path = "/".join(keys)
    packed = read_tree(source, value.begin, value.begin + value.size)
    if not (isinstance(packed, list) and len(packed) == 3 and isinstance(packed[0], list) and keys):
        _refuse(source, "an array is not packed as shape, element type and bytes", path)
    shape, dtype, data = packed
    if isinstance(dtype, Run):
        dtype = source.read(dtype.begin, min(dtype.size, 40)).decode("latin-1")
    if not (isinstance(dtype, str) and isinstance(data, (Run, str))):
        _refuse(source, "an array is not packed as shape, element type and bytes", path)
    if isinstance(data, str):
        _refuse(source, "its bytes are packed as text, as very old versions of MessagePack did", path)
    _refuse_shape(source, shape, path)
    dtype = _VOID.get(dtype, dtype)
    if dtype in DTYPES and prod(shape) * DTYPES[dtype].size != data.size:
        _refuse(source, f"shape {shape[:8]} of {dtype} does not take the {data.size:,} bytes that it has", path)
    return Leaf(keys, dtype, tuple(shape), (data,))


def _refuse_shape(source: Source, shape: list[Any], path: str) -> None:
    if len(shape) > _AXES_MOST or any(type(extent) is not int or not 0 <= extent < 1 << 63 for extent in shape):
        _refuse(source, f"its shape {str(shape)[:80]} is none that an array can have", path)


def _chunked(source: Source, keys: tuple[str, ...], value: Mapping[Any, Any]) -> Leaf:
    """An array in flat pieces; its shape and its pieces are maps with the keys "0", "1", "2", ..."""
    path = "/".join(keys)
    shape, chunks = (_listed(value.get(word)) for word in ("shape", "chunks"))
    if shape is None or not chunks or not all(isinstance(chunk, Ext) and chunk.code == _ARRAY for chunk in chunks):
        _refuse(source, "an array in pieces has no shape or no pieces", path)
    _refuse_shape(source, shape, path)
    pieces = [_leaf(source, keys, chunk) for chunk in chunks]
    dtype = pieces[0].dtype
    if dtype not in DTYPES or any(len(piece.shape) != 1 or piece.dtype != dtype for piece in pieces):
        _refuse(source, f"its pieces are not flat arrays of one element type that is known: {shown(dtype)}", path)
    if sum(piece.shape[0] for piece in pieces) != prod(shape):
        _refuse(source, f"its pieces do not have as many numbers as the shape {str(shape)[:80]}", path)
    return Leaf(keys, dtype, tuple(shape), tuple(run for piece in pieces for run in piece.pieces))


def _listed(value: Any) -> list[Any] | None:
    """A map with the keys "0" to "n" as a list, as Flax stores tuples."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or any(str(number) not in value for number in range(len(value))):
        return None
    return [value[str(number)] for number in range(len(value))]


def _paths(source: Source, leaves: list[Leaf]) -> list[str]:
    """`params/Dense_0/kernel` is `params.Dense_0.kernel`. The statistics of a norm belong to the norm's own layer.

    Where keys hold dots so that two paths are alike, the later one keeps its slashes.
    """
    plain = {".".join(leaf.keys) for leaf in leaves}
    layers = {".".join(leaf.keys[:-1]) for leaf in leaves}
    paths: list[str] = []
    taken: set[str] = set()
    for leaf in leaves:
        path = ".".join(leaf.keys)
        home = ".".join((_PARAMS, *leaf.keys[1:-1]))
        moved = f"{home}.{leaf.keys[-1]}"
        if leaf.keys[0] == _STATISTICS and home in layers and moved not in plain:
            path = moved
        if path in taken:
            path = "/".join(leaf.keys)
        if path in taken:
            _refuse(source, "two arrays have this name", path)
        taken.add(path)
        paths.append(path)
    return paths


def _aliases(leaves: list[Leaf], paths: list[str]) -> dict[str, str]:
    """Shorter and slashed names of layers: `Dense_0` and `params/Dense_0` for `params.Dense_0`."""
    layers = {path.rpartition(".")[0] for path in paths}
    found: dict[str, str] = {}
    for leaf, path in zip(leaves, paths, strict=True):
        layer = path.rpartition(".")[0]
        for short in _shorter(leaf.keys[:-1]):
            if short and short not in layers:
                found.setdefault(short, layer)
    return {short: layer for short, layer in found.items() if layer}


def _shorter(keys: tuple[str, ...]) -> Iterator[str]:
    yield "/".join(keys)
    while keys and keys[0] in (_PARAMS, _STATISTICS):
        keys = keys[1:]
        yield ".".join(keys)
        yield "/".join(keys)


def _array(source: Source, leaf: Leaf, path: str) -> Array:
    stored = "/".join(leaf.keys)
    if leaf.dtype not in DTYPES:
        reason = f"element type {shown(leaf.dtype)} cannot be read"
        unread = Unread(source.path, shown(path), shown(leaf.dtype), leaf.shape, reason)
        return Array(path, path, leaf.shape, unread.dtype, unread)
    runs = [(source, run.begin, run.size) for run in leaf.pieces]
    if len(runs) == 1:
        storage = Strided(source, shown(path), leaf.dtype, leaf.shape, runs[0][1])
    else:
        storage = Strided(Joined(runs, source.path), shown(path), leaf.dtype, leaf.shape, 0)
        storage.note = f"in {len(runs)} pieces"
    if path != ".".join(leaf.keys):
        storage.note = "; ".join(filter(None, (f"named {shown(stored)!r} in the file", storage.note)))
    role = "buffer" if leaf.keys[0] == _STATISTICS else "parameter"
    return Array(path, path, leaf.shape, leaf.dtype, storage, role)


def _refuse(source: Source, reason: str, array: str = "", hint: str = _HINT) -> NoReturn:
    raise FileError(source.path, reason, array=shown(array), hint=hint)

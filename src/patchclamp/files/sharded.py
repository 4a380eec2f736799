"""Networks in several files: an index that says which file holds which array, and files that are opened when asked for.

The index is that of Hugging Face (`model.safetensors.index.json`, `pytorch_model.bin.index.json`): a JSON object whose
`weight_map` gives each array the name of a file beside it. One neuron opens one of those files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, overload

from ..arrays import Array
from ..errors import FileError
from ._safetensors_header import encodable, shown
from .opening import HEAD
from .opening import open_source as open_any_source
from .source import Source, read_all
from .stored import Arrays, Stored

__all__ = ["MOST", "Sharded", "open_source", "sniff"]

MOST = 64 << 20
"""Longest index in bytes: that of the largest networks so far has 9 MB."""
_DAMAGED = "download the index again"
_LATER = "the index and the files beside it must be of one download; download the folder again"


def sniff(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` is such an index.

    >>> sniff(b'{"metadata": {}, "weight_map": {}}', 34), sniff(b'{"hidden_size": 768}', 20)
    (True, False)
    """
    return b'"weight_map"' in head or b'"metadata"' in head


def open_source(source: Source) -> Stored:
    """What the files that an index names hold; none of them is opened yet. FileError for a bad index."""
    arrays = Sharded(source, _weight_map(source))
    files = len(arrays.shards)
    note = f"{len(arrays.places):,} arrays in {files:,} file{'s' if files != 1 else ''}, by the index {_name(source)}"
    form = "safetensors, sharded" if all(name.endswith(".safetensors") for name in arrays.shards) else "sharded"
    return Stored(source.path, form, arrays, notes=(note,), sources=(source, arrays))  # type: ignore[arg-type]


def _name(source: Source) -> str:
    return source.path.replace("\\", "/").rpartition("/")[2]


def _weight_map(source: Source) -> dict[str, str]:
    path = source.path
    raw = read_all(source, MOST, "the index")
    doubled: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs) and not doubled:
            seen: set[str] = set()
            doubled.extend(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return found

    try:
        found: Any = json.loads(raw.decode(), object_pairs_hook=collect)
    except (UnicodeDecodeError, RecursionError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else "is not UTF-8"
        raise FileError(path, f"the index {what}", hint=_DAMAGED) from error
    except ValueError as error:
        raise FileError(path, f"the index is not JSON: {shown(str(error))}", hint=_DAMAGED) from error
    if doubled:
        raise FileError(path, f"the name {shown(doubled[0])!r} stands twice in the index", hint=_DAMAGED)
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict) or not places:
        reason = "it is no index of a network in several files: it has no weight_map that names arrays"
        raise FileError(path, reason, hint="give the file that holds the weights")
    for name, file in places.items():
        if not isinstance(file, str) or not (encodable(file) and encodable(name)):
            raise FileError(path, "the index gives it no file's name", array=shown(ascii(name)), hint=_DAMAGED)
    return places


class Sharded(Arrays):
    """The arrays that an index names, each found in its file when it is asked for.

    A layer opens the files that hold it; the length is that of the index; going through the arrays opens all.
    """

    def __init__(self, index: Source, places: Mapping[str, str]) -> None:
        self.places = places
        self.shards: dict[str, _Shard | None] = dict.fromkeys(places.values())
        self._index = index
        self._layers: dict[str, list[str]] = {}
        self._all: tuple[Array, ...] | None = None

    def of(self, layer: str) -> Sequence[Array]:
        """The arrays `<layer>.<word>`; none if the index names none. Opens the files that hold them. FileError."""
        if not self._layers:
            for name in self.places:
                self._layers.setdefault(name.rpartition(".")[0], []).append(name)
        return [self._array(name, layer) for name in self._layers.get(layer, ())]

    def beginning(self, text: str) -> int:
        return sum(name.startswith(text) for name in self.places)

    def _array(self, name: str, layer: str) -> Array:
        file = self.places[name]
        shard = self.shards[file]
        if shard is None:
            shard = self.shards[file] = _Shard(self._index, file)
        found = shard.find(name, layer)
        if found is None:
            reason = f"it says that this lies in {shown(file)}, which has no such array"
            raise FileError(self._index.path, reason, array=shown(name), hint=_LATER)
        return found

    def _whole(self) -> tuple[Array, ...]:
        if self._all is None:
            self._all = tuple(self._array(name, name.rpartition(".")[0]) for name in self.places)
        return self._all

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | Sequence[Array]:
        return self._whole()[index]

    def close(self) -> None:
        """Close every file that was opened."""
        for shard in self.shards.values():
            if shard is not None:
                shard.stored.close()


class _Shard:
    """One of the files that an index names."""

    def __init__(self, index: Source, file: str) -> None:
        try:
            source = index.sibling(file)
        except FileError as error:
            raise FileError(index.path, f"it names {shown(file)!r}: {error.reason}", hint=_LATER) from error
        head = source.read(0, min(source.size, HEAD))
        if head[:1] == b"{":
            source.close()
            raise FileError(index.path, f"it names {shown(file)!r}, which holds no arrays but text", hint=_LATER)
        self.stored = open_any_source(source)
        self._found: dict[str, dict[str, Array]] = {}

    def find(self, name: str, layer: str) -> Array | None:
        """The array of that name, in that layer; None if the file has none."""
        arrays = self.stored.arrays
        where = layer if isinstance(arrays, Arrays) else ""
        if where not in self._found:
            held = arrays.of(layer) if isinstance(arrays, Arrays) else arrays
            self._found[where] = {array.name: array for array in held}
        return self._found[where].get(name)

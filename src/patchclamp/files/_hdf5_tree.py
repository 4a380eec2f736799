"""The groups and datasets of an HDF5 file, each checked, and arrays over them that read the part that is asked for.

The library runs in a process of its own (`_hdf5_child.py`). Numbers that lie plainly in the file are read without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from ..arrays import DTYPES, Storage, Values
from ..axes import Key
from ..errors import FileError
from ..frozen import dataclass, field
from ._hdf5_process import Asked, Refused
from ._ranges import hyperslab
from ._strided import Strided
from .source import Source

__all__ = ["SIGNATURE", "Dataset", "Group", "Tree", "read_tree"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
PIECE = 16 << 20
"""Longest part of a dataset in chunks that the child is asked for at once, in bytes."""
_BAD = "the file is damaged or was made to deceive; download or save it again"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A stored array: `path` are the names of the groups over it and its own."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    storage: Storage


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A group: the texts that Keras keeps in its attributes, and what lies in it, in the file's order."""

    path: tuple[str, ...]
    said: Mapping[str, Any] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def walk(self) -> Iterator[Dataset]:
        """Every dataset in it, however deep."""
        waiting = [self]
        while waiting:
            group = waiting.pop()
            yield from group.datasets.values()
            waiting += reversed(group.groups.values())

    def at(self, *path: str) -> Group | None:
        """The group at a path from here."""
        here: Group | None = self
        for name in path:
            here = here.groups.get(name) if here is not None else None
        return here

    def list(self, name: str) -> list[str]:
        """An attribute that is a list of texts; empty if it is not there."""
        found = self.said.get(name)
        return found if isinstance(found, list) else []

    def text(self, name: str) -> str:
        """An attribute that is one text; empty if it is not there."""
        found = self.said.get(name)
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """An open file: its root, what was found in it that is not read and why, and what to close."""

    root: Group
    notes: tuple[str, ...]
    source: Source


class Chunked:
    """The numbers of a dataset that the HDF5 library must unpack, or that lie in the header of the dataset."""

    __slots__ = ("_asked", "_itemsize", "_path", "_shape", "dtype", "note")

    def __init__(self, asked: Asked, found: Mapping[str, Any]) -> None:
        self._asked = asked
        self._path = found["path"]
        self._shape = tuple(found["shape"])
        self._itemsize = DTYPES[found["dtype"]].size
        self.dtype: str = found["dtype"]
        self.note = f"stored {found['how']}" if found["how"] else ""

    def read(self, key: Key = ()) -> Values:
        """The numbers at `key`. AddressError for a key that does not fit, FileError for what cannot be unpacked."""
        result = hyperslab(self._shape, self._itemsize, key).shape
        if 0 in result:
            return Values(self.dtype, result, b"")
        parts = (*key, *(slice(None),) * (len(self._shape) - len(key)))
        spans = [_span(part, extent) for part, extent in zip(parts, self._shape, strict=True)]
        data = b"".join(map(self._ask, _pieces(spans, self._itemsize)))
        self._asked.refuse_changed()
        return Values(self.dtype, result, data)

    def _ask(self, spans: list[range]) -> bytes:
        counts = [len(span) for span in spans]
        command = {
            "do": "read",
            "path": self._path,
            "shape": list(self._shape),
            "dtype": self.dtype,
            "start": [span.start for span in spans],
            "step": [span.step for span in spans],
            "count": counts,
        }
        try:
            data: bytes = self._asked.ask(command, prod(counts) * self._itemsize)
        except Refused as refused:
            name = "/".join(self._path)
            raise FileError(self._asked.path, refused.reason, array=name, hint=_BAD) from None
        return data


def _span(part: int | slice, extent: int) -> range:
    if isinstance(part, slice):
        return range(*part.indices(extent))
    part = part + extent if part < 0 else part
    return range(part, part + 1)


def _pieces(spans: list[range], itemsize: int) -> Iterator[list[range]]:
    """Parts of a selection, in C order, of at most PIECE bytes where one step along its first axes is no more."""
    axis = next((i for i, span in enumerate(spans) if len(span) > 1), None)
    total = prod(map(len, spans)) * itemsize
    if axis is None or total <= PIECE:
        yield spans
        return
    span = spans[axis]
    most = max(PIECE // (total // len(span)), 1)
    for first in range(0, len(span), most):
        piece = [*spans[:axis], span[first : first + most], *spans[axis + 1 :]]
        if most > 1:
            yield piece
        else:
            yield from _pieces(piece, itemsize)


def read_tree(source: Source) -> Tree:
    """Every object of an HDF5 file. FileError for one that is none, or that the library cannot read."""
    if source.size < 8 or source.read(0, 8) != SIGNATURE:
        raise FileError(source.path, "it does not begin as HDF5 does", place="byte 0", hint=_BAD)
    asked = Asked(source)
    try:
        found = asked.ask({"do": "list"})
        root, notes = _grown(asked, found["objects"]), tuple(_notes(found))
    except Refused as refused:
        asked.rest()
        raise FileError(source.path, f"it cannot be read as HDF5: {refused.reason}", hint=_BAD) from None
    except FileError:
        asked.rest()
        raise
    except (LookupError, TypeError, ValueError, AttributeError):
        asked.rest()
        raise FileError(source.path, "it cannot be read as HDF5: its listing makes no sense", hint=_BAD) from None
    except BaseException:
        asked.rest()
        raise
    source.refuse_changed()
    tree = Tree(root, notes, asked)
    if not any(isinstance(dataset.storage, Chunked) for dataset in tree.root.walk()):
        asked.rest()
    return tree


def _grown(asked: Asked, objects: list[dict[str, Any]]) -> Group:
    """The listing as groups in groups: a group comes before what lies in it."""
    root = Group(())
    for found in objects:
        path = tuple(found["path"])
        if not path:
            root = Group((), found["said"])
            continue
        over = root.at(*path[:-1])
        if over is None:
            raise LookupError(path)
        if "said" in found:
            over.groups[path[-1]] = Group(path, found["said"])
        else:
            shape = tuple(found["shape"])
            over.datasets[path[-1]] = Dataset(path, shape, found["dtype"], _storage(asked, found))
    return root


def _storage(asked: Asked, found: Mapping[str, Any]) -> Storage:
    if found["offset"] is None:
        return Chunked(asked, found)
    place = Strided(asked, "/".join(found["path"]), found["dtype"], tuple(found["shape"]), found["offset"])
    place.swapped = found["swapped"]
    return place


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    for path, reason in found["notes"]:
        yield f"{path or 'the root group'}: {reason}"
    if found["unsaid"]:
        yield f"{found['unsaid']:,} more objects are not read"

"""The format before PyTorch 1.6: pickles one after the other, then every storage, each with its count before it.

Source: `_legacy_save` and `_legacy_load` of `torch/serialization.py`. The pickles are a magic number, a version, what
machine wrote it, the object, and the keys of the storages in their order. A pickle without that magic number is not
PyTorch's: it is read if it holds NumPy arrays, whose numbers lie in the pickle.
"""

from __future__ import annotations

from typing import Any

from ...errors import FileError
from ..source import Source
from ..stored import Stored
from .checkpoint import described, meet, region_id
from .machine import CutShort, Machine
from .rebuild import item_size
from .symbols import Name, Refusal, Region, Table

__all__ = ["open_source"]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_FIRST = 64 << 10
"""How much is read at first; four times as much where the pickles are longer."""
_PICKLE_MOST = 128 << 20
_DAMAGED = "the file is damaged or was made to deceive; save it again"


def open_source(source: Source) -> Stored:
    """What a file of pickles holds. FileError for whatever is wrong."""
    length = _FIRST
    while True:
        data = source.read(0, min(length, source.size, _PICKLE_MOST))
        try:
            return _read(source, data)
        except CutShort as cut:
            if len(data) == source.size or cut.need > source.size:
                raise FileError(source.path, cut.reason, place=cut.place, hint=cut.hint) from cut
            if len(data) >= _PICKLE_MOST or cut.need > _PICKLE_MOST:
                reason = f"its pickle is longer than {_PICKLE_MOST:,} bytes, which is not read"
                raise FileError(source.path, reason, hint="save it with torch.save of today") from cut
            length = max(4 * length, cut.need)


def _read(source: Source, data: bytes) -> Stored:
    storages = _Storages()
    machine = Machine(data, source.path, storages.find, "", source.size)
    first = machine.load()
    if first != _MAGIC or type(first) is not int:
        if machine.at != source.size:
            machine_at = f"byte {machine.at:,}"
            reason = f"{source.size - machine.at:,} bytes follow the pickle"
            raise FileError(source.path, reason, place=machine_at, hint=_DAMAGED)
        return described(source, machine, [("", first)], "pickle")
    if machine.load() != _VERSION:
        raise FileError(source.path, "its version is none that is known (1001)", place=f"byte {machine.at}")
    info = machine.load()
    big = type(info) is Table and any(key == "little_endian" and value is False for key, value in info)
    top = machine.load()
    keys = machine.load()
    storages.place(source, machine.at, keys, big)
    return described(source, machine, [("", top)], "PyTorch before 1.6")


class _Storages:
    """The storages that the pickle names; where they lie is known when it has been read."""

    def __init__(self) -> None:
        self.held: dict[str, Region] = {}
        self.views: dict[str, tuple[Region, Region, int]] = {}

    def find(self, given: Any) -> Any:
        """A storage for its persistent id; a class for that of a module, whose code is not looked at."""
        if type(given) is tuple and given[:1] == ("module",) and len(given) == 4 and type(given[1]) is Name:
            return given[1]
        key, dtype, count, _, view = region_id(given)
        size = item_size(dtype) if dtype else 1
        if not size:
            raise Refusal(f"a storage of {dtype} cannot be found: several of its numbers share a byte")
        root = meet(self.held, Region(key, dtype, count * size))
        if view is None:
            return root
        if type(view) is not tuple or len(view) != 3:
            raise Refusal("a view of a storage says not where it lies")
        name, offset, extent = view
        if type(name) is not str or type(offset) is not int or type(extent) is not int or offset < 0 or extent < 0:
            raise Refusal("a view of a storage says not where it lies")
        if (offset + extent) * size > root.nbytes:
            raise Refusal(f"a view of the storage {key[:80]!r} ends behind it")
        made = Region(name, dtype, extent * size)
        first, _, before = self.views.setdefault(name, (made, root, offset * size))
        if (first.dtype, first.nbytes, before) != (dtype, made.nbytes, offset * size):
            raise Refusal(f"the view {name[:80]!r} is given two places")
        return first

    def place(self, source: Source, at: int, keys: Any, big: bool) -> None:
        """Where every storage lies, from the counts between them. FileError where they are not the pickle's."""
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise FileError(source.path, "its list of storages is none", place=f"byte {at:,}", hint=_DAMAGED)
        if len(set(keys)) != len(keys) or set(keys) != set(self.held):
            reason = "its list of storages names others than its tensors look at"
            raise FileError(source.path, reason, place=f"byte {at:,}", hint=_DAMAGED)
        for key in keys:
            region = self.held[key]
            if at + 8 + region.nbytes > source.size:
                reason = f"the storage {key[:80]!r} of {region.nbytes:,} bytes ends behind the file"
                raise FileError(source.path, reason, place=f"byte {at:,}", hint=_DAMAGED)
            count = int.from_bytes(source.read(at, 8), "big" if big else "little")
            if count * (item_size(region.dtype) or 1) != region.nbytes:
                reason = f"the storage {key[:80]!r} is said to hold {count:,} numbers, and {region.nbytes:,} bytes"
                raise FileError(source.path, reason, place=f"byte {at:,}", hint=_DAMAGED)
            region.source, region.begin, region.swapped = source, at + 8, big
            at += 8 + region.nbytes
        if at != source.size:
            reason = f"{source.size - at:,} bytes follow its last storage"
            raise FileError(source.path, reason, place=f"byte {at:,}", hint=_DAMAGED)
        for region, root, offset in self.views.values():
            region.key, region.source, region.begin = root.key, source, root.begin + offset
            region.swapped = big

"""The format since PyTorch 1.6: a zip archive with a pickle, `data.pkl`, and a member for each storage.

Source: `torch/serialization.py` and `caffe2/serialize/inline_container.h`. All members lie in one folder, which has any
name. Storages are members that are not packed, so a neuron's row is one read. TorchScript archives are the same with
code beside them, which is text here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import le
from typing import Any

from ...errors import FileError
from .._zip import Archive
from ..stored import Stored
from .checkpoint import described, meet, region_id
from .machine import Machine
from .rebuild import item_size
from .script import said_in_code
from .symbols import Like, Refusal, Region, Tensor, later

__all__ = ["Storages", "open_archive"]

_PICKLE_MOST = 128 << 20
"""Longest pickle that is read, in bytes."""
_DAMAGED = "the file is damaged or was made to deceive; save it again"


def open_archive(archive: Archive) -> Stored:
    """What a PyTorch archive holds. No storage is read. FileError for whatever is wrong."""
    folder = _folder(archive)
    big = _big_endian(archive, folder)
    machine, top = _load(archive, folder, "data", big)
    tops = [("", top)]
    script = f"{folder}constants.pkl" in archive.members
    if script:
        tops.append(("CONSTANTS", _constants(archive, folder, big)))
    code = said_in_code(archive, folder, top) if script else None
    return described(archive.source, machine, tops, "TorchScript" if script else "PyTorch", code)


def _folder(archive: Archive) -> str:
    ends = [name for name in archive.members if name.endswith("data.pkl")]
    found = [name[:-8] for name in ends if name == "data.pkl" or name.endswith("/data.pkl")]
    top = [folder for folder in found if folder.count("/") <= 1]
    if len(top) != 1:
        what = f"it has {len(found)} pickles called data.pkl" if found else "it has no data.pkl"
        raise FileError(archive.source.path, f"{what}, where one at its top is expected", hint=_DAMAGED)
    return top[0]


def _big_endian(archive: Archive, folder: str) -> bool:
    name = f"{folder}byteorder"
    if name not in archive.members:
        return False
    order = archive.read(name, 64)
    if order not in (b"little", b"big"):
        raise FileError(archive.source.path, f"its byte order is {order[:20]!r}", place="zip member 'byteorder'")
    return order == b"big"


def _load(archive: Archive, folder: str, which: str, big: bool) -> tuple[Machine, Any]:
    source = archive.source
    name = f"{folder}{which}.pkl"
    data = archive.read(name, _PICKLE_MOST)
    storages = Storages(archive, f"{folder}{which}/", big)
    machine = Machine(data, source.path, storages.find, name, source.size)
    machine.many = storages.many
    top = machine.load()
    if machine.at != len(data):
        left = len(data) - machine.at
        place = f"byte {machine.at:,} of {name}"
        raise FileError(source.path, f"{left:,} bytes follow the pickle", place=place, hint=_DAMAGED)
    return machine, top


def _constants(archive: Archive, folder: str, big: bool) -> Any:
    """The constants of TorchScript, by the names that its code has for them."""
    top = _load(archive, folder, "constants", big)[1]
    return [*top] if type(top) is tuple else top


class Storages:
    """The storages of an archive, by their persistent ids. Those of `many` are made when their tensor is asked for."""

    def __init__(self, archive: Archive, folder: str, big: bool) -> None:
        self.archive = archive
        self.folder = folder
        self.big = big
        self.held: dict[str, Region] = {}
        self.later: dict[str, Like] = {}

    def find(self, given: Any) -> Region:
        """The storage of a persistent id. Refusal where the archive has not what it says."""
        key, dtype, count, place, _ = region_id(given)
        size = item_size(dtype) if dtype else 1
        region = Region(self.folder + key, dtype, count * size)
        if region.key in self.later:
            self.region(region.key, self.later[region.key])
        if region.key in self.held:
            return meet(self.held, region)
        if place != "meta":
            member = self.archive.members.get(region.key)
            if member is None:
                raise Refusal(f"the storage {key[:80]!r} is not in the archive", _DAMAGED)
            if not size or not dtype:
                region.nbytes = region.nbytes if size and dtype == "" else member.size
            if member.size < region.nbytes:
                reason = f"the storage {key[:80]!r} is said to have {region.nbytes:,} bytes, and has {member.size:,}"
                raise Refusal(reason, _DAMAGED)
            region.source = self.archive.later(member)
            region.swapped = self.big
        self.held[region.key] = region
        return region

    def many(self, keys: Sequence[str], likes: Sequence[Like]) -> Sequence[Tensor] | None:
        """Tensors that each have one of these storages; None unless each is new and has its bytes in the archive."""
        names = [self.folder + key for key in keys]
        new = dict(zip(names, likes, strict=True))
        if len(new) != len(names) or not (self.later.keys().isdisjoint(new) and self.held.keys().isdisjoint(new)):
            return None
        try:
            sizes = self.archive.sizes(names)
        except KeyError:
            return None
        if not all(map(le, [like.nbytes for like in likes], sizes)):
            return None
        self.later |= new
        return [*map(later, names, likes, repeat(self.region))]

    def region(self, key: str, like: Like) -> Region:
        """A storage of `many`."""
        found = self.held.get(key)
        if found is None:
            source = self.archive.later(self.archive.members[key])
            found = self.held[key] = Region(key, like.dtype, like.nbytes, source)
            found.swapped = self.big
        return found

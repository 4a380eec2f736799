"""The members of a zip archive, by its central directory; every entry checked against the file and its local header.

Source: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5. Two readers of one archive must see the same: so no member may stand
twice, lie over another, or be described in two ways.
"""

from __future__ import annotations

import struct
import zlib
from _thread import allocate_lock
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import le
from typing import Any, NamedTuple, NoReturn

from ..errors import FileError
from .source import Later, Source, Window

__all__ = ["Archive", "Member", "open_archive"]

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
STORED, DEFLATED = 0, 8
DIRECTORY_MOST = 16 << 20
"""Longest central directory that is read, in bytes."""
ENTRIES_MOST = 100_000
"""Most members that are read."""
RATIO_MOST = 1100
"""Deflate makes nothing smaller than by 1032 (zlib's technical notes); more is a lie."""
WHOLE_MOST = 256 << 20
"""Longest member that is read as a whole."""
INFLATED_MOST = 16 << 20
"""A deflated member may grow by this many bytes in one read, beyond twice the archive's size."""
_CHUNK = 64 << 10
_BAD = "the archive is damaged or was made to deceive; download or save it again"
_USUAL = bytes({0, *b"/._-0123456789", *range(65, 91), *range(97, 123)})
"""Of what plain names are made, and what is put between them."""
_WIDE, _WIDE16 = 0xFFFFFFFF, 0xFFFF
_ENTRY = struct.Struct("<I4x2H4x3I3H8xI").unpack_from
"""Mark, flags, method, checksum, sizes in and out, lengths of name, extra field and comment, place of the header."""
_ROW = struct.Struct("<12xIIIH12xI")
"""Of what follows the mark: checksum, sizes in and out, length of the name, place of the header."""
_ZERO = (6, 7, 26, 27, 28, 29)
"""The bytes in it that are 0 where nothing is special: method, lengths of the extra field and of the comment."""
_MARK = int.from_bytes(_CENTRAL, "little")


class Member(NamedTuple):
    """One entry of the central directory: `begin` is its local header, `packed` and `size` its bytes in and out."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    begin: int
    raw: bytes


class _Plain(Mapping[str, Member]):
    """The members of a directory in which nothing is special: each is made when it is asked for."""

    __slots__ = ("_rows",)

    def __init__(self, rows: dict[str, tuple[Any, ...]]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> Member:
        crc, packed, size, _, begin = self._rows[name]
        return Member(name, STORED, crc, packed, size, begin, name.encode("ascii"))

    def sizes(self, names: Iterable[str]) -> list[int]:
        rows = self._rows
        return [rows[name][2] for name in names]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Archive:
    """An open archive: `members` by name, in the directory's order; `open(name)` gives one as a source."""

    __slots__ = ("_limit", "members", "source")

    def __init__(self, source: Source, members: Mapping[str, Member], limit: int) -> None:
        self.source = source
        self.members = members
        self._limit = limit

    def open(self, name: str) -> Source:
        """A member as bytes by range. A deflated one is read from its start each time. FileError for a bad entry."""
        member = self.members[name]
        window = Window(self.source, self._data(member), member.packed, name)
        return window if member.method == STORED else Inflated(window, member)

    def sizes(self, names: Iterable[str]) -> list[int]:
        """How many bytes each of some members has. KeyError for one that is not there."""
        members = self.members
        return members.sizes(names) if isinstance(members, _Plain) else [members[name].size for name in names]

    def later(self, member: Member) -> Source:
        """The same, looked for when it is first read: opening a file of many members costs its directory."""
        return Later(self.source, member.name, member.size, self.open)

    def read(self, name: str, most: int = WHOLE_MOST) -> bytes:
        """All bytes of a member, checked by its CRC. FileError if it has more than `most`."""
        member = self.members[name]
        if member.size > most:
            _refuse(self.source, f"the member has {member.size:,} bytes, at most {most:,} are read", member.name)
        data = self.open(name).read(0, member.size)
        if zlib.crc32(data) != member.crc:
            _refuse(self.source, "the member's checksum (CRC-32) is not that of its bytes", member.name)
        return data

    def _data(self, member: Member) -> int:
        """Where the bytes of a member begin, after its local header, which must say what the directory says."""
        source = self.source
        if member.begin + 30 > self._limit:
            _refuse(source, "its local header lies behind the last member", member.name)
        head = source.read(member.begin, 30)
        flags, method = struct.unpack_from("<HH", head, 6)
        crc, packed, size, named, extra = struct.unpack_from("<IIIHH", head, 14)
        begin: int = member.begin + 30 + named + extra
        if head[:4] != _LOCAL or begin + member.packed > self._limit:
            _refuse(source, "its local header is not where the directory says", member.name)
        raw = source.read(member.begin + 30, named)
        later = flags & 8  # then sizes and checksum stand behind the data, and 0 here
        same = (raw, method) == (member.raw, member.method) and (
            (crc, packed, size) == (0, 0, 0) if later and not crc else crc == member.crc
        )
        for here, there in ((packed, member.packed), (size, member.size)):
            same = same and (here in (there, _WIDE) or (bool(later) and here == 0))
        if not same:
            _refuse(source, "its local header says other things than the directory", member.name)
        return begin


class Inflated:
    """The bytes of a deflated member. Each read inflates it from its start, or from where the last read ended.

    One thread reads at a time, as reads go on from each other. Pickled, it begins again.
    """

    __slots__ = ("_at", "_engine", "_fed", "_lock", "_member", "_most", "_packed", "path", "size")

    def __init__(self, packed: Window, member: Member) -> None:
        self.path = packed.path
        self._most = packed.place[0].size
        self.size = member.size
        self._packed = packed
        self._member = member
        self._lock = allocate_lock()
        self._rewind()

    def __reduce__(self) -> tuple[object, ...]:
        return Inflated, (self._packed, self._member)

    def _rewind(self) -> None:
        self._engine = zlib.decompressobj(-15)
        self._fed = self._at = 0

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            reason = f"{length} bytes were looked for at byte {offset} of {self.size}"
            raise FileError(self.path, reason, hint=_BAD)
        if length > INFLATED_MOST + 2 * self._most:
            reason = f"{length:,} bytes of it were to be inflated at once, out of an archive of {self._most:,}"
            raise FileError(self.path, reason, hint="read a part of it")
        parts = bytearray()
        with self._lock:
            if offset < self._at:
                self._rewind()
            while self._at < offset:
                self._next(min(_CHUNK, offset - self._at))
            while len(parts) < length:
                parts += self._next(min(1 << 20, length - len(parts)))
        return bytes(parts)

    def _next(self, most: int) -> bytes:
        """From 1 to `most` bytes more."""
        while True:
            data = self._engine.unconsumed_tail
            if not data:
                count = min(_CHUNK, self._packed.size - self._fed)
                data = self._packed.read(self._fed, count)
                self._fed += count
            try:
                out = self._engine.decompress(data, most)
            except zlib.error as error:
                raise FileError(self.path, f"its deflated bytes cannot be read: {error}", hint=_BAD) from error
            if out:
                self._at += len(out)
                return out
            if not data or self._engine.eof:
                raise FileError(self.path, f"its deflated bytes end after {self._at} of {self.size}", hint=_BAD)

    def refuse_changed(self) -> None:
        self._packed.refuse_changed()

    def sibling(self, name: str) -> Source:
        return self._packed.sibling(name)

    def close(self) -> None:
        self._packed.close()


def open_archive(source: Source) -> Archive:
    """Read and check the central directory. FileError for anything that two readers could see differently."""
    count, size, begin = _end(source)
    if size > DIRECTORY_MOST:
        _refuse(source, f"its directory has {size:,} bytes, at most {DIRECTORY_MOST:,} are read")
    if count > ENTRIES_MOST:
        _refuse(source, f"it has {count:,} members, at most {ENTRIES_MOST:,} are read")
    if begin + size > source.size or count * 46 > size:
        _refuse(source, f"its directory of {count} entries and {size} bytes does not lie in the file")
    data = source.read(begin, size)
    plain = _plain(data, count, begin) if count else None
    return Archive(source, _checked(source, data, count, begin) if plain is None else plain, begin)


def _checked(source: Source, data: bytes, count: int, limit: int) -> Mapping[str, Member]:
    """The members of any directory, looked at one by one."""
    members: dict[str, Member] = {}
    at, size = 0, len(data)
    for _ in range(count):
        member, at = _entry(source, data, at)
        if member.name in members:
            _refuse(source, "two members have this name", member.name)
        members[member.name] = member
    if at != size:
        _refuse(source, f"its directory has {size} bytes, its {count} entries take {at}")
    _refuse_overlaps(source, members, limit)
    return members


def _plain(data: bytes, count: int, limit: int) -> Mapping[str, Member] | None:
    """The members of a directory that is right and has nothing special; None for any other, however it differs.

    The rules are those of `_checked`, applied to all entries together: most directories are of this sort.
    """
    begin, *parts = data.split(_CENTRAL)
    heads = b"".join([part[:42] for part in parts])
    if begin or len(parts) != count or len(heads) != 42 * count:
        return None
    rows = [*_ROW.iter_unpack(heads)]
    raws = [part[42:] for part in parts]
    _, packed, sizes, lengths, begins = zip(*rows, strict=True)
    if any(heads[place::42].strip(b"\0") for place in _ZERO) or any(flag & 0x41 for flag in {*heads[4::42]}):
        return None
    if packed != sizes or max(sizes) == _WIDE or max(begins) == _WIDE or (*map(len, raws),) != lengths:
        return None
    ends = [begin + 30 + length + size for begin, length, size in zip(begins, lengths, packed, strict=True)]
    if not all(map(le, ends, (*begins[1:], limit))):
        return None
    names = _plain_names(raws)
    found = dict(zip(names, rows, strict=True)) if names else {}
    return _Plain(found) if len(found) == count else None


def _plain_names(raws: Sequence[bytes]) -> Sequence[str]:
    """The names of all members, if all are plain."""
    text = b"\0".join((b"", *raws, b""))
    special = text.translate(None, _USUAL) or text.count(b"\0") != len(raws) + 1
    if special or b"\0\0" in text or b"\0/" in text or b".." in text:
        return ()
    return text.decode("ascii").split("\0")[1:-1]


def _end(source: Source) -> tuple[int, int, int]:
    """Entries, size and place of the central directory, from the record at the file's end."""
    length = min(source.size, 22 + 65535 + 20)
    tail = source.read(source.size - length, length)
    at = tail.rfind(_END)
    while at >= 0 and (at + 22 > length or at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") != length):
        at = tail.rfind(_END, 0, at)
    if at < 0:
        _refuse(source, "it has no end record: the archive is cut short")
    disk, first, here, count, size, begin = struct.unpack_from("<4H2I", tail, at + 4)
    if disk or first or here != count:
        _refuse(source, "it is one of several parts of an archive")
    if tail[max(0, at - 20) : at][:4] == _LOCATOR64:
        return _end64(source, int.from_bytes(tail[at - 12 : at - 4], "little"), (count, size, begin))
    if count == _WIDE16 or _WIDE in (size, begin):
        _refuse(source, "its end record needs a 64-bit one, which is not there")
    return count, size, begin


def _end64(source: Source, place: int, short: tuple[int, int, int]) -> tuple[int, int, int]:
    if place + 56 > source.size:
        _refuse(source, "its 64-bit end record does not lie in the file")
    record = source.read(place, 56)
    if record[:4] != _END64:
        _refuse(source, "its 64-bit end record is not where it is said to be")
    _, count, size, begin = struct.unpack_from("<4Q", record, 24)
    for narrow, wide, most in zip(short, (count, size, begin), (_WIDE16, _WIDE, _WIDE), strict=True):
        if narrow not in (wide, most):
            _refuse(source, "its two end records say different things")
    return count, size, begin


def _entry(source: Source, data: bytes, at: int) -> tuple[Member, int]:
    if at + 46 > len(data):
        _refuse(source, f"entry at byte {at} of its directory cannot be read")
    mark, flags, method, crc, packed, size, named, extra, comment, begin = _ENTRY(data, at)
    if mark != _MARK:
        _refuse(source, f"entry at byte {at} of its directory cannot be read")
    rest = at + 46 + named
    end = rest + extra + comment
    if end > len(data):
        _refuse(source, f"entry at byte {at} of its directory is longer than the directory")
    raw = data[at + 46 : rest]
    name = _name(source, raw, flags)
    if size == _WIDE or packed == _WIDE or begin == _WIDE:
        size, packed, begin = _widened(source, name, (size, packed, begin), data[rest : rest + extra])
    if flags & 0x41:
        _refuse(source, "the member is encrypted", name, "decrypt the archive first")
    if method == STORED:
        if size != packed:
            reason = f"the member is stored as it is, but has {packed} bytes in the archive and {size} out of it"
            _refuse(source, reason, name)
    elif method != DEFLATED:
        _refuse(source, f"the member is packed by method {method}; stored and deflated ones are read", name)
    elif size > packed * RATIO_MOST + 64:
        _refuse(source, f"the member's {packed} bytes are said to become {size:,}, which deflate cannot do", name)
    return Member(name, method, crc, packed, size, begin, raw), end


def _widened(source: Source, name: str, numbers: tuple[int, ...], extra: bytes) -> list[int]:
    """The numbers of an entry that stand in its extra field, as they do not fit in 32 bits."""
    wide = _wide(extra)
    found = []
    for number in numbers:
        if number == _WIDE:
            if len(wide) < 8:
                _refuse(source, "its 64-bit sizes are not there", name)
            number, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        found.append(number)
    return found


def _name(source: Source, raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & 0x800 or raw.isascii() else "cp437")
    except UnicodeDecodeError:
        _refuse(source, f"a member's name is not text: {raw[:40]!r}")
    if not name or "\0" in name or "\\" in name or name[0] == "/":
        _refuse(source, "the member's name leads out of the archive", name)
    if ".." in name or ":" in name:
        parts = name.split("/")
        if ".." in parts or ":" in parts[0]:
            _refuse(source, "the member's name leads out of the archive", name)
    return name


def _wide(extra: bytes) -> bytes:
    """The 64-bit numbers of an entry's extra field (header 1)."""
    at = 0
    while at + 4 <= len(extra):
        header, length = struct.unpack_from("<HH", extra, at)
        if header == 1:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _refuse_overlaps(source: Source, members: Mapping[str, Member], limit: int) -> None:
    at, before = 0, ""
    ordered: Iterable[Member] = members.values()
    begins = [member.begin for member in ordered]
    if begins != sorted(begins):
        ordered = sorted(ordered, key=lambda member: member.begin)
    for member in ordered:
        if member.begin < at:
            _refuse(source, f"the member lies over {before!r}", member.name)
        at, before = member.begin + 30 + len(member.raw) + member.packed, member.name
    if at > limit:
        _refuse(source, "the member is longer than the archive", before)


def _refuse(source: Source, reason: str, member: str = "", hint: str = _BAD) -> NoReturn:
    place = f"zip member {member[:120]!r}" if member else "zip directory"
    raise FileError(source.path, reason, place=place, hint=hint)

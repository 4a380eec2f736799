"""A sorted table of keys and values, as LevelDB writes it: the form of a checkpoint's `.index` file.

Source: table_format.md of google/leveldb; TensorFlow's own copy (tensorflow/core/lib/io) differs in nothing that is read here.
A block is its entries, a list of restart places, one byte for how it is packed, and a CRC-32C of all that.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NoReturn

from ...errors import FileError
from .._protobuf import Malformed, varint
from ..source import Source, read_all

__all__ = ["INDEX_MOST", "read_table"]

INDEX_MOST = 8 << 20
"""Longest index that is read, in bytes: a hundred thousand variables take less."""
KEY_MOST = 8192
HELD_MOST = 16 << 20
"""Longest key, and most bytes of all keys and values: packed or repeated, they take fewer in the file."""
_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_PLAIN, _SNAPPY = 0, 1
_RATIO_MOST = 22
"""Snappy's shortest copy makes 64 bytes of 3."""
_DAMAGED = "the index is damaged or cut short; copy the checkpoint again"


def read_table(source: Source) -> dict[bytes, bytes]:
    """All keys of the index with their values, in order. FileError for whatever is not as the format has it."""
    data = read_all(source, INDEX_MOST, "the index")
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        _refuse(source, "it does not end like the index of a TensorFlow checkpoint", len(data))
    found: dict[bytes, bytes] = {}
    try:
        at = len(data) - _FOOTER
        for _ in range(2):
            _, at = varint(data, at, len(data) - 8)
        begin, size = _handle(data, at, len(data) - 8)
        before, spent, total = b"", 0, 0
        for _, value in _entries(_block(source, data, begin, size)):
            begin, size = _handle(value, 0, len(value))
            block = _block(source, data, begin, size)
            spent += size + 5
            if spent > len(data):
                _refuse(source, "its blocks lie over one another", begin)
            for key, held in _entries(block):
                total += len(key) + len(held)
                if total > HELD_MOST:
                    _refuse(source, f"its keys and values have more than {HELD_MOST:,} bytes in all", begin)
                if found and key <= before:
                    _refuse(source, f"its keys are not in order: {key[:80]!r} stands after {before[:80]!r}", begin)
                found[key] = held
                before = key
    except Malformed as error:
        _refuse(source, error.reason, error.at)
    return found


def _handle(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where a block lies, and its length without the five bytes behind it."""
    begin, at = varint(data, at, end)
    size, _ = varint(data, at, end)
    return begin, size


def _block(source: Source, data: bytes, begin: int, size: int) -> bytes:
    """The entries of a block, unpacked and checked, without the restarts."""
    end = begin + size
    if end + 5 > len(data) - _FOOTER or size < 4:
        _refuse(source, f"a block of {size} bytes at byte {begin} does not lie in the index", begin)
    if _masked(_crc32c(data, begin, end + 1)) != int.from_bytes(data[end + 1 : end + 5], "little"):
        _refuse(source, "the checksum (CRC-32C) of a block is not that of its bytes", begin)
    block = data[begin:end]
    if data[end] == _SNAPPY:
        block = _unsnapped(block)
    elif data[end] != _PLAIN:
        _refuse(source, f"a block is packed by method {data[end]}; plain and snappy ones are read", begin)
    restarts = 4 * (1 + int.from_bytes(block[-4:], "little"))
    if restarts > len(block):
        _refuse(source, "a block has more restarts than bytes", begin)
    return block[: len(block) - restarts]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block, each key put together from the one before it."""
    at, key = 0, b""
    while at < len(block):
        shared, at = varint(block, at, len(block))
        own, at = varint(block, at, len(block))
        length, at = varint(block, at, len(block))
        if shared > len(key) or own + length > len(block) - at:
            raise Malformed(
                at, "an entry is longer than its block, or shares more with the key before it than that has"
            )
        key = key[:shared] + block[at : at + own]
        if len(key) > KEY_MOST:
            raise Malformed(at, f"a key has {len(key):,} bytes, {KEY_MOST:,} are allowed")
        at += own
        yield key, block[at : at + length]
        at += length


def _unsnapped(data: bytes) -> bytes:
    """A block that snappy packed (format_description.txt of google/snappy): literals, and copies of what stands before."""  # noqa: E501
    size, at = varint(data, 0, len(data))
    if size > _RATIO_MOST * len(data) + 64:
        raise Malformed(at, f"{len(data)} bytes are said to unpack to {size:,}, which snappy cannot do")
    out = bytearray()
    while at < len(data) and len(out) <= size:
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            at = _literal(data, at, tag >> 2, out)
            continue
        if tag & 3 == 1:
            length, width = (tag >> 2 & 7) + 4, 1
        else:
            length, width = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4
        back = int.from_bytes(data[at : at + width], "little") | (tag >> 5 << 8 if width == 1 else 0)
        at += width
        if not 0 < back <= len(out):
            raise Malformed(at, f"a copy goes back {back} bytes, {len(out)} are there")
        piece = bytes(out[-back:][:length])
        out += (piece * (length // len(piece) + 1))[:length]
    if len(out) != size or at != len(data):
        raise Malformed(at, f"a packed block does not unpack to the {size} bytes that it states")
    return bytes(out)


def _literal(data: bytes, at: int, count: int, out: bytearray) -> int:
    """Copy a run of plain bytes; up to 60 their number stands in the tag, else in the 1 to 4 bytes behind it."""
    if count >= 60:
        width = count - 59
        count = int.from_bytes(data[at : at + width], "little")
        at += width
    if count + 1 > len(data) - at:
        raise Malformed(at, f"{count + 1} plain bytes are said to follow, {max(0, len(data) - at)} do")
    out += data[at : at + count + 1]
    return at + count + 1


@cache
def _crc_table() -> tuple[int, ...]:
    """The 256 remainders of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _crc32c(data: bytes, begin: int, end: int) -> int:
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data[begin:end]:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(crc: int) -> int:
    """As LevelDB stores a checksum, so that one of bytes that hold one stays good."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _refuse(source: Source, reason: str, at: int) -> NoReturn:
    raise FileError(source.path, reason, place=f"byte {at} of the index", hint=_DAMAGED)

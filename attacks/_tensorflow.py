"""The pieces of TensorFlow's checkpoints, for the scripts that put wrong ones together."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

MAGIC = 0xDB4775248B80FB57
Entries = Iterable[tuple[bytes, bytes]]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    return varint(number << 3 | 2) + varint(len(value)) + value


def crc(data: bytes) -> int:
    """CRC-32C, masked as LevelDB stores it."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x82F63B78 if found & 1 else 0)
    found ^= 0xFFFFFFFF
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def raw_block(body: bytes, kind: int = 0) -> bytes:
    data = body + bytes((kind,))
    return data + struct.pack("<I", crc(data))


def body(entries: Entries) -> bytes:
    held = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    return held + struct.pack("<II", 0, 1)


def table(data: bytes, handle: bytes | None = None) -> bytes:
    """An index of one block; `data` is the block with its trailer."""
    place = varint(0) + varint(len(data) - 5) if handle is None else handle
    index = raw_block(body([(b"~", place)]))
    footer = varint(0) * 2 + varint(len(data)) + varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def first_body(data: bytes) -> bytes:
    """The first block of a good index, without its trailer."""
    at = len(data) - 48
    numbers = []
    for _ in range(3):
        value, at = _number(data, at)
        numbers.append(value)
    key, at = _number(data, numbers[2] + 1)
    _, at = _number(data, at)
    begin, at = _number(data, at + key)
    size, _ = _number(data, at)
    return data[begin : begin + size]


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at += 1
        shift += 7
        if data[at - 1] < 128:
            return value, at


def header(shards: int = 1, order: int = 0) -> tuple[bytes, bytes]:
    return b"", field(1, shards) + (field(2, order) if order else b"") + field(3, field(1, 1))


def entry(shape: Iterable[int] = (2, 3), dtype: int = 1, shard: int = 0, offset: int = 0, size: int = 24) -> bytes:
    axes = b"".join(field(2, field(1, extent)) for extent in shape)
    return field(1, dtype) + field(2, axes) + field(3, shard) + field(4, offset) + field(5, size)


def checkpoint(folder: Path, entries: Entries, numbers: bytes = bytes(24)) -> Path:
    return written(folder, table(raw_block(body(entries))), numbers)


def written(folder: Path, index: bytes, numbers: bytes = bytes(24)) -> Path:
    (folder / "model.data-00000-of-00001").write_bytes(numbers)
    path = folder / "model.index"
    path.write_bytes(index)
    return path

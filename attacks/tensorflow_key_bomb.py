"""Keys that each repeat the eight thousand bytes before them, at five bytes a key."""

import struct
from pathlib import Path

from ._tensorflow import raw_block, table, varint, written

VERDICT = "refused"
CLAIM = "bytes in all"


def make(folder: Path) -> Path:
    first = b"k" * 8000
    held = b"\0" + varint(len(first)) + b"\0" + first
    held += b"".join(varint(8000) + b"\2\0" + struct.pack(">H", i) for i in range(1, 9000))
    return written(folder, table(raw_block(held + struct.pack("<II", 0, 1)))).with_suffix("")

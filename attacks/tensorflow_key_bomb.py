"""Keys that each repeat the eight thousand bytes before them, at three bytes a key."""

import struct
from pathlib import Path

from ._tensorflow import raw_block, table, varint, written

VERDICT = "refused"


def make(folder: Path) -> Path:
    first = b"k" * 8000
    shared = varint(8000)
    held = b"\0" + varint(len(first)) + b"\0" + first + (shared + b"\1\0z") * 1
    held += b"".join(varint(8000 + i) + b"\1\0z" for i in range(1, 190)) + (varint(8190) + b"\1\0z") * 9000
    return written(folder, table(raw_block(held + struct.pack("<II", 0, 1))))

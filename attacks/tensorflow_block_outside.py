"""A block that lies behind the index."""

from pathlib import Path

from ._tensorflow import body, header, raw_block, table, varint, written

VERDICT = "refused"
CLAIM = "does not lie"


def make(folder: Path) -> Path:
    return written(folder, table(raw_block(body([header()])), varint(1 << 40) + varint(100)))

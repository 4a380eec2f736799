"""A packed block that says it unpacks to a terabyte."""

from pathlib import Path

from ._tensorflow import raw_block, table, varint, written

VERDICT = "refused"
CLAIM = "snappy"


def make(folder: Path) -> Path:
    return written(folder, table(raw_block(varint(1 << 40) + b"\0a" + b"\xfe\x01\0" * 100, 1))).with_suffix("")

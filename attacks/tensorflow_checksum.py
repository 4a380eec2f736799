"""A block whose checksum is wrong."""

from pathlib import Path

from ._tensorflow import body, entry, header, raw_block, table, written

VERDICT = "refused"
CLAIM = "CRC-32C"


def make(folder: Path) -> Path:
    data = raw_block(body([header(), (b"w", entry())]))
    return written(folder, table(data[:10] + b"!" + data[11:]))

"""A member packed by a method that is seldom read (bzip2)."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "method 12"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = 12
    path.write_bytes(data)
    return path

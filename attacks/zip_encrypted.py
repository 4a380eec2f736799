"""A member that is marked as encrypted."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "encrypted"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path

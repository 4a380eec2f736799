"""A stored member with two sizes."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "stored as it is"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1 << 20).to_bytes(4, "little")
    path.write_bytes(data)
    return path

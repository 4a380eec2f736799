"""A pickle whose bytes are not those of its checksum."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "CRC-32"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    data[data.index(b"fc.weight")] ^= 1
    path.write_bytes(data)
    return path

"""Sizes that point to a 64-bit field that is not there."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "64-bit sizes"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = b"\xff" * 8
    path.write_bytes(data)
    return path

"""BYTEARRAY8 of 2 ** 62 bytes."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "ends early"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x96" + (1 << 62).to_bytes(8, "little")))

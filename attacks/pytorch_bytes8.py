"""BINBYTES8 of 2 ** 63 bytes."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "ends early"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x8e" + (1 << 63).to_bytes(8, "little")))

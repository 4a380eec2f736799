"""LONG4 with a negative length, and one of 100 kB."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "integer of 100,000 bytes"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x8b\xa0\x86\x01\x00" + b"\x7f" * 100_000))

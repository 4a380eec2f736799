"""LONG4 with a length below zero."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "ends early"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x8b\xff\xff\xff\xff"))

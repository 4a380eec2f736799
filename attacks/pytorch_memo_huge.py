"""LONG_BINPUT with the largest number, for a memo that is a list."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "as number 4,294,967,295"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"Nr\xff\xff\xff\xff"))

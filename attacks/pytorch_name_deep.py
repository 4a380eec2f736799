"""STACK_GLOBAL with a tuple of tuples 100,000 deep as the name, to be hashed."""

from pathlib import Path

from ._pytorch import archive, beside, text

VERDICT = "refused"
CLAIM = "no text"


def make(folder: Path) -> Path:
    return archive(folder, beside(text("os") + b"N" + b"\x85" * 100_000 + b"\x93"))

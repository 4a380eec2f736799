"""FRAME that is longer than any memory."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "ends early"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x95" + b"\xff" * 8 + b"N"))

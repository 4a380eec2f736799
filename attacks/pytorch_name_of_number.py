"""STACK_GLOBAL with a number in the place of the name."""

from pathlib import Path

from ._pytorch import archive, beside, number, text

VERDICT = "refused"
CLAIM = "no text"


def make(folder: Path) -> Path:
    return archive(folder, beside(text("os") + number(1) + b"\x93"))

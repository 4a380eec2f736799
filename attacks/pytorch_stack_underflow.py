"""TUPLE3 of a stack that holds two."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "stack"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"(\x87"))

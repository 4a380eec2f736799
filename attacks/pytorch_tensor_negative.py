"""A tensor that begins before its storage."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "begins at -4"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor(offset=-4)))

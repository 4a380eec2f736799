"""A tensor that is longer than its storage."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "reaches byte"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor((3, 2))))

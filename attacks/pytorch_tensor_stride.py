"""A tensor whose strides lead out of its storage."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "reaches byte"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor((2, 2), (1000, 1))))

"""A tensor with a negative stride, from the end of its storage to before it."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "stride -8"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor((2, 2), (-8, 1), 2)))

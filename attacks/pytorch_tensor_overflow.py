"""A tensor of 2 ** 64 numbers that all are one."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "counted"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor((1 << 32, 1 << 32), (0, 0))))

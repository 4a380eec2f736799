"""A tensor that repeats one number to 4 TB: it may be listed, and not be read as a whole."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor((1 << 20, 1 << 20), (0, 0))))

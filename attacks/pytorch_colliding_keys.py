"""A dict of 40,000 whole numbers whose hashes are all one."""

from pathlib import Path

from ._pytorch import archive, beside, number

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    keys = b"".join(number((2**61 - 1) * n) + b"N" for n in range(1, 40_000))
    return archive(folder, beside(b"}(" + keys + b"u"))

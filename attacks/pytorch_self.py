"""A list that holds itself a thousand times, and a dict that does."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    return archive(folder, beside(b"]q\x01(" + b"h\x01" * 1000 + b"e}q\x02" + b"X\x01\x00\x00\x00ah\x02s\x86"))

"""A checkpoint put together by hand, which is read."""

import struct
from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "read"
READS = ("d.kernel", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"d/kernel", entry())], struct.pack("<6f", *range(6)))

"""A key whose name is said to have 2^63 bytes."""

import struct
from pathlib import Path

from ._gguf import whole

VERDICT = "refused"
CLAIM = "bytes"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([struct.pack("<Q", 1 << 63)], counts=(0, 1)))
    return path

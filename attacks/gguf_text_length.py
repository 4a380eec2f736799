"""A text value that is said to have 2^40 bytes."""

import struct
from pathlib import Path

from ._gguf import STRING, pair, whole

VERDICT = "refused"
CLAIM = "bytes"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("general.name", STRING, struct.pack("<Q", 1 << 40))]))
    return path

"""A tensor of 2^32 - 1 axes."""

import struct
from pathlib import Path

from ._gguf import text, whole

VERDICT = "refused"
CLAIM = "axes"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [text("a") + struct.pack("<I", 0xFFFFFFFF)]))
    return path

"""An alignment of 2^63, in a number of 64 bits."""

import struct
from pathlib import Path

from ._gguf import UINT64, pair, tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("general.alignment", UINT64, struct.pack("<Q", 1 << 63))], [tensor("a")]))
    return path

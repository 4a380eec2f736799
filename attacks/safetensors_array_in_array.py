"""An entry within the entry of another array, which a search of the text could take for one."""

import struct
from pathlib import Path

from ._safetensors import entry, file

VERDICT = "read"
READS = ("a.weight", [3.0, 4.0])


def make(folder: Path) -> Path:
    inner = entry((2,), (8, 16))
    header = {"b.weight": {"a.weight": inner, **entry()}, "a.weight": entry((2,), (8, 16))}
    return file(folder, header, struct.pack("<4f", 1, 2, 3, 4))

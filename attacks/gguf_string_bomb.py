"""A sparse file whose vocabulary holds a thousand million empty strings: no loop runs that long."""

import struct
from pathlib import Path

from ._gguf import ARRAY, STRING, array, pair

VERDICT = "refused"
CLAIM = "strings and lists"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    head += pair("tokenizer.ggml.tokens", ARRAY, array(STRING, 1_000_000_000))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 8_000_000_000)
    return path

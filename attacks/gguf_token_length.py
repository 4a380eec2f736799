"""A token in the vocabulary whose length leads behind the end of the file."""

import struct
from pathlib import Path

from ._gguf import ARRAY, STRING, array, pair, text, whole

VERDICT = "refused"
CLAIM = "ends at byte"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole([pair("tokenizer.ggml.tokens", ARRAY, array(STRING, 2, text("a") + struct.pack("<Q", 1 << 62)))])
    )
    return path

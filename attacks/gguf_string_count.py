"""An array that claims 2^60 strings."""

from pathlib import Path

from ._gguf import ARRAY, STRING, array, pair, whole

VERDICT = "refused"
CLAIM = "said to hold"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("tokenizer.ggml.tokens", ARRAY, array(STRING, 1 << 60))]))
    return path

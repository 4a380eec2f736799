"""One key twice, with two values."""

from pathlib import Path

from ._gguf import number, whole

VERDICT = "refused"
CLAIM = "twice"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([number("llama.attention.head_count", 1), number("llama.attention.head_count", 2)]))
    return path

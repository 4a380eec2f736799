"""A value of a type that is none."""

from pathlib import Path

from ._gguf import pair, whole

VERDICT = "refused"
CLAIM = "type 13"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([pair("a", 13, bytes(8))]))
    return path

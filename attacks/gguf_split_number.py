"""A part whose number lies behind its count."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "part"


def make(folder: Path) -> Path:
    path = folder / "model-00001-of-00002.gguf"
    path.write_bytes(whole([number("split.no", 9), number("split.count", 2)], [tensor("a")]))
    return path

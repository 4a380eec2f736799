"""A big-endian version before a little-endian directory: its counts are enormous then."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a")], version=3 << 24))
    return path

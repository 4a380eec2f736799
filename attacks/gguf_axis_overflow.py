"""Axes whose product wraps around 64 bits to a small number."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (1 << 33, 1 << 33))]))
    return path

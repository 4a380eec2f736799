"""A tensor of five axes, where the format has four."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "axes"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (1, 1, 1, 1, 8))]))
    return path

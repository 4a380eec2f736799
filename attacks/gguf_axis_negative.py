"""An axis of -1, as an unsigned number."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", ((1 << 64) - 1, 2))]))
    return path

"""An axis of nought beside one of 2^63: no numbers, and no length that a range could have."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "axis"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (0, 1 << 63))]))
    return path

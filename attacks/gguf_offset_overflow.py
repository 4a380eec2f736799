"""An offset that would wrap around 64 bits to the file's beginning."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "the file has"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", offset=(1 << 64) - 32)]))
    return path

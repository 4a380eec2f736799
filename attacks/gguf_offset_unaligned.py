"""A tensor that does not begin at a multiple of the alignment."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "alignment"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (2, 2), offset=4)]))
    return path

"""Two tensors of one name."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "this name"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (2, 2)), tensor("a", (2, 2), offset=32)], bytes(64)))
    return path

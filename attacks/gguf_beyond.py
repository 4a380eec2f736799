"""A tensor that ends behind the end of the file."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "the file has"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (4, 200))]))
    return path

"""A tensor of an element type that is none."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "element type"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", kind=1000)]))
    return path

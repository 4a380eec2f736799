"""A tensor of a type that was taken out of the format."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "element type"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", kind=4)]))
    return path

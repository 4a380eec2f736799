"""Two tensors over the same bytes."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "refused"
CLAIM = "goes on to byte"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a"), tensor("b")]))
    return path

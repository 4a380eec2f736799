"""A packed tensor whose rows are no whole blocks."""

from pathlib import Path

from ._gguf import Q4_0, tensor, whole

VERDICT = "refused"
CLAIM = "packs 32"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([], [tensor("a", (33, 1), Q4_0)], bytes(64)))
    return path

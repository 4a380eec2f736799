"""Names of dots and of nothing."""

from pathlib import Path

from ._gguf import tensor, whole

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole([], [tensor(""), tensor("..", (1, 1), offset=32), tensor(".weight", (1, 1), offset=64)], bytes(96))
    )
    return path

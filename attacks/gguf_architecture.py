"""An architecture whose name is a path and a format string."""

from pathlib import Path

from ._gguf import tensor, whole, word

VERDICT = "read"
READS = ("blk.0.attn_q.weight", [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([word("general.architecture", "../../{0.__class__}%s")], [tensor("blk.0.attn_q.weight")]))
    return path

"""A number of heads that does not divide the rows: the order of rows cannot be undone."""

from pathlib import Path

from ._gguf import number, tensor, whole, word

VERDICT = "refused"
CLAIM = "divided"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole(
            [word("general.architecture", "llama"), number("llama.attention.head_count", 7)],
            [tensor("blk.0.attn_q.weight")],
        )
    )
    return path

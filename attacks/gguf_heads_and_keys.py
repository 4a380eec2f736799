"""More heads of keys than of queries in a falcon, which divides by them."""

from pathlib import Path

from ._gguf import number, tensor, whole, word

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole(
            [
                word("general.architecture", "falcon"),
                number("falcon.attention.head_count", 1),
                number("falcon.attention.head_count_kv", 5),
            ],
            [tensor("blk.0.attn_qkv.weight", (2, 11))],
            bytes(96),
        )
    )
    return path

"""A tensor under the live name of another: one address would have two meanings."""

from pathlib import Path

from ._gguf import LLAMA, tensor, whole

VERDICT = "refused"
CLAIM = "one array"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole(
            LLAMA,
            [tensor("blk.0.ffn_up.weight", (2, 2)), tensor("model.layers.0.mlp.up_proj.weight", (2, 2), offset=32)],
            bytes(64),
        )
    )
    return path

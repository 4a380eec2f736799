"""A file cut in the numbers."""

from pathlib import Path

from ._gguf import LLAMA, tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(LLAMA, [tensor("blk.0.ffn_up.weight")])[:-4])
    return path

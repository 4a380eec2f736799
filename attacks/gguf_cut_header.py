"""A file cut in the header."""

from pathlib import Path

from ._gguf import LLAMA, tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(LLAMA, [tensor("blk.0.ffn_up.weight")])[:12])
    return path

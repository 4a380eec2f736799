"""A directory that claims 2^62 tensors: nothing is made before the count is held against the file."""

from pathlib import Path

from ._gguf import whole

VERDICT = "refused"
CLAIM = "tensors"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(counts=(1 << 62, 0)))
    return path

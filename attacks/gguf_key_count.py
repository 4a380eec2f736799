"""A directory that claims 2^62 keys."""

from pathlib import Path

from ._gguf import whole

VERDICT = "refused"
CLAIM = "keys"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(counts=(0, 1 << 62)))
    return path

"""A version that is not yet."""

from pathlib import Path

from ._gguf import whole

VERDICT = "refused"
CLAIM = "version 4"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(version=4))
    return path

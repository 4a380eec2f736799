"""Version nought, which reads like a file of the other byte order."""

from pathlib import Path

from ._gguf import whole

VERDICT = "refused"
CLAIM = "version 0"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole(version=0))
    return path

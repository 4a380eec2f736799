"""A tensor that begins behind its storage."""

from pathlib import Path

from ._pytorch import archive, beside, tensor

VERDICT = "refused"
CLAIM = "reaches byte"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor(offset=1 << 40)))

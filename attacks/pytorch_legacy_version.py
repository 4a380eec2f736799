"""The old format of a version that there is not."""

from pathlib import Path

from ._pytorch import MAGIC, number, pickled

VERDICT = "refused"
CLAIM = "version"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = MAGIC + pickled(number(7))
    path.write_bytes(data)
    return path

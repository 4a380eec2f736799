"""A file of no bytes."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "empty"


def make(folder: Path) -> Path:
    path = folder / "model.pt"
    path.touch()
    return path

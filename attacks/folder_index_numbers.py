"""An index that gives numbers for files."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "no file's name"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": 7, "fc.bias": None})

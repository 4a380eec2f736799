"""The name of a file in an index has a hundred thousand letters."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "a" * 100_000})

"""A header of no files."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "0 files"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(0), (b"w", entry())])

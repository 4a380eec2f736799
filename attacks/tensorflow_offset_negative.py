"""Numbers that begin before the file."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "it lies in"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"w", entry(offset=-24))])

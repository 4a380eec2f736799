"""Numbers that end behind the file."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "end at byte"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"w", entry(offset=8))])

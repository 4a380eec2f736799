"""A negative extent."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "shape"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"w", entry((-2, -3)))])

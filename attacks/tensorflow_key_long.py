"""A key of ten thousand bytes."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "a key has"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"k" * 10_000, entry())])

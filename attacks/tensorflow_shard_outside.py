"""A tensor in a file that the header does not have."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "it lies in"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"w", entry(shard=9))])

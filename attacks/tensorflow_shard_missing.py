"""A tensor in a file that is not there."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "no such file"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(3), (b"w", entry(shard=2))])

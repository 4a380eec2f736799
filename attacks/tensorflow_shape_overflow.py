"""A shape whose product is 0 modulo 2**64."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "takes"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"w", entry((1 << 32, 1 << 32), size=0))])

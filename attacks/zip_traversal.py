"""A member whose name leads out of the archive."""

from pathlib import Path

from ._pytorch import FOUR, archive, beside

VERDICT = "refused"
CLAIM = "leads out"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"), {"0": FOUR, "../../../EVIDENCE": b"x"})
    return path

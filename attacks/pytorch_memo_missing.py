"""BINGET of what was never put."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "memo"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"h\x63"))

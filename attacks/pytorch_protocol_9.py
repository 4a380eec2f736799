"""A protocol that there is not."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "protocol 9"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x80\x09"))

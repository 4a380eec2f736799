"""EXT4: a name by its number in a registry, which a scanner does not see."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "extension"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x84\x01\x00\x00\x00"))

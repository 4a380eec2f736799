"""EXT1: a name by its number in a registry, which a scanner does not see."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "extension"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\x82\x01"))

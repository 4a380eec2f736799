"""BINPERSID of what is no storage."""

from pathlib import Path

from ._pytorch import archive, beside, name, several, text

VERDICT = "refused"
CLAIM = "persistent id"


def make(folder: Path) -> Path:
    return archive(folder, beside(several(text("module"), name("os.system"), text("a"), text("b")) + b"Q"))

"""OBJ calls os.system."""

from pathlib import Path

from ._pytorch import archive, beside, name, shell

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"(" + name("os.system") + shell(folder) + b"o"))

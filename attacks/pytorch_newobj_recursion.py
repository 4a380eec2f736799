"""copyreg.__newobj__ of itself, over and over."""

from pathlib import Path

from ._pytorch import archive, beside, name

VERDICT = "refused"
CLAIM = "copyreg.__newobj__"


def make(folder: Path) -> Path:
    return archive(
        folder, beside(name("copyreg.__newobj__") + b"(" + b"2" * 0 + name("copyreg.__newobj__") * 5000 + b"tR")
    )

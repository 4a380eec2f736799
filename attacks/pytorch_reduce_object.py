"""REDUCE of an object that was made, and not of a name."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "only names are called"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"cargparse\nNamespace\n)\x81)R"))

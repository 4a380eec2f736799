"""A persistent id whose class of storage is a function."""

from pathlib import Path

from ._pytorch import archive, beside, name, number, several, tensor, text

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    return archive(
        folder,
        beside(tensor(held=several(text("storage"), name("os.system"), text("0"), text("cpu"), number(4)) + b"Q")),
    )

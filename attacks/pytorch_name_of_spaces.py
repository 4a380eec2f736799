"""GLOBAL whose module has a carriage return, which some scanners print as another."""

from pathlib import Path

from ._pytorch import archive, beside, shell

VERDICT = "refused"
CLAIM = "which nothing can be called"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"cos\r\nsystem\n(" + shell(folder) + b"tR"))

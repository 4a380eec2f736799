"""INST calls posix.system: protocol 0's way."""

from pathlib import Path

from ._pytorch import archive, beside, shell

VERDICT = "refused"
CLAIM = "posix.system"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"(" + shell(folder) + b"iposix\nsystem\n"))

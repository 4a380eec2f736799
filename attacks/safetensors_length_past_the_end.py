"""The header is said to be longer than the file."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "the file has"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry()}, length=90_000_000)

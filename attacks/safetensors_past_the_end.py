"""An array ends behind the end of the file."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "the file has"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((1 << 20,), (0, 1 << 22))})

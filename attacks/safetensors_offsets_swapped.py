"""An array that ends before it begins."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "after their end"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((2,), (8, 0))})

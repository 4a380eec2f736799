"""A negative length of an axis."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "negative"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((-2, -1))})

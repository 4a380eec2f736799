"""A shape whose product wraps around to 8 in 64 bits."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "overflows 64 bits"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((1 << 32, 1 << 32, 2))})

"""A shape that is huge in all axes but one, which is empty."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "overflows 64 bits"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((1 << 60, 1 << 60, 0), (0, 0))}, b"")

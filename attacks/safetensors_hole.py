"""Bytes between two arrays that belong to none, where another format could hide."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "belong to no array"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry(), "b.weight": entry(offsets=(16, 24))}, bytes(24))

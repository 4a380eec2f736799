"""A shape larger than the bytes that the array has."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "data_offsets hold"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((2, 1000))})

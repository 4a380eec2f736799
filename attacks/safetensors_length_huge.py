"""The header's length is 2 ** 64 - 1: a reader that allocates first, dies."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "the format allows"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry()}, length=(1 << 64) - 1)

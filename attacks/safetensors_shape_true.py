"""An axis of length true, which Python counts as 1."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "not an integer"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((2, True))})

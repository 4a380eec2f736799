"""Two indexes that name each other."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "no arrays but text"


def make(folder: Path) -> Path:
    index(folder, {"fc.weight": "model.safetensors.index.json"}, "other.json")
    return index(folder, {"fc.weight": "other.json"})

"""An index names itself as the file of its arrays."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "no arrays but text"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "model.safetensors.index.json"})

"""An index names a file of fsspec's memory."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "memory://secret.safetensors"})

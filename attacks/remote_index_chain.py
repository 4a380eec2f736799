"""An index names a file through fsspec's cache."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "simplecache::https://127.0.0.1:9/x.safetensors"})

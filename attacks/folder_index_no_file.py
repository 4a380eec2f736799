"""An index names a file that is not there."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "there is no such file"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "model-00002-of-00002.safetensors"})

"""An index says that an array lies in a file that does not have it."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "has no such array"


def make(folder: Path) -> Path:
    return index(
        folder, {"sound.weight": "model-00001-of-00002.safetensors", "fc.weight": "model-00001-of-00002.safetensors"}
    )

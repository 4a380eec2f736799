"""An index names a file in the folder above."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    weights(folder.parent / "secret.safetensors")
    return index(folder, {"fc.weight": "../secret.safetensors"})

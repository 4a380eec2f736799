"""An index goes down and then up twice."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    (folder / "a").mkdir()
    weights(folder.parent / "secret.safetensors")
    return index(folder, {"fc.weight": "a/../../secret.safetensors"})

"""An index names a file by a file:// address."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    secret = weights(folder.parent / "secret.safetensors")
    return index(folder, {"fc.weight": f"file://{secret}"})

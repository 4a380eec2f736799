"""An index names a file on a host."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "//127.0.0.1/secret.safetensors"})

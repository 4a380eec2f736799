"""An index names a file on a web server."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "https://127.0.0.1:9/secret.safetensors"})

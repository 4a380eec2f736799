"""A file that an index names is a link to one outside."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "a link to outside"


def make(folder: Path) -> Path:
    secret = weights(folder.parent / "secret.safetensors")
    (folder / "part.safetensors").symlink_to(secret)
    return index(folder, {"fc.weight": "part.safetensors"})

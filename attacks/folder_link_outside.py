"""The network of a folder is a link to a file outside."""

from pathlib import Path

from ._folder import weights

VERDICT = "refused"
CLAIM = "a link to outside"


def make(folder: Path) -> Path:
    secret = weights(folder.parent / "secret.safetensors")
    (folder / "model.safetensors").symlink_to(secret)
    return folder

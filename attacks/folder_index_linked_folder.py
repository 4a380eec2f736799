"""An index goes through a link to the folder above."""

from pathlib import Path

from ._folder import index, weights

VERDICT = "refused"
CLAIM = "a link to outside"


def make(folder: Path) -> Path:
    weights(folder.parent / "secret.safetensors")
    (folder / "part").symlink_to("..")
    return index(folder, {"fc.weight": "part/secret.safetensors"})

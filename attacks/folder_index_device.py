"""A file that an index names is a link to a device without end."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "a link to outside"


def make(folder: Path) -> Path:
    (folder / "part.safetensors").symlink_to("/dev/zero")
    return index(folder, {"fc.weight": "part.safetensors"})

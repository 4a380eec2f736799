"""A file that an index names is a folder."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "not a regular file"


def make(folder: Path) -> Path:
    (folder / "part.safetensors").mkdir()
    return index(folder, {"fc.weight": "part.safetensors"})

"""A file that an index names is a pipe that nobody writes to."""

import os
from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "named pipe"


def make(folder: Path) -> Path:
    os.mkfifo(folder / "part.safetensors")
    return index(folder, {"fc.weight": "part.safetensors"})

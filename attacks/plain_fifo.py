"""A named pipe in place of the file: opening it would wait for a writer for ever."""

import os
from pathlib import Path

VERDICT = "refused"
CLAIM = "named pipe"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    os.mkfifo(path)
    return path

"""An index of a gigabyte of nothing."""

import os
from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "at most"


def make(folder: Path) -> Path:
    path = index(folder, {"sound.weight": "model-00001-of-00002.safetensors"})
    os.truncate(path, 1 << 30)
    return path

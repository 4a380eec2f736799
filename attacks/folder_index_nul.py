"""The name of a file in an index holds a zero byte."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "does not lie in its own folder"


def make(folder: Path) -> Path:
    return index(folder, {"fc.weight": "model-00001-of-00002.safetensors\0.txt"})

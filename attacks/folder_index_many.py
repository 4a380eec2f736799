"""An index with two hundred thousand names for one file that has one of them."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "has no such array"


def make(folder: Path) -> Path:
    return index(folder, {f"layer.{i}.weight": "model-00001-of-00002.safetensors" for i in range(20_000)})

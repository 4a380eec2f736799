"""One layer is sound, another says a shape that its bytes do not have: listing refuses it."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "data_offsets hold"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry(), "b.weight": entry((3,), (8, 16))}, bytes(16))

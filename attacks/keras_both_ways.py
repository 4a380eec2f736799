"""Bidirectional in Bidirectional, 100 deep: twice the layers at each step, if they were made."""

from pathlib import Path
from typing import Any

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    entry: dict[str, Any] = dense("inner")
    for number in range(100):
        config = {"name": f"b{number}", "layer": entry}
        entry = {"module": "keras.layers", "class_name": "Bidirectional", "config": config}
    return archive(folder / "model.keras", model(dense(), entry), unpacked(WEIGHTS))

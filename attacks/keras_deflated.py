"""Weights that are deflated, and are what they say: read."""

import zipfile
from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", model(dense()))
        file.writestr("model.weights.h5", unpacked(WEIGHTS))
    return path

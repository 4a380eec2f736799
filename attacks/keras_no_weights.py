"""A config and nothing else."""

import zipfile
from pathlib import Path

from ._hdf5 import dense, model

VERDICT = "refused"
CLAIM = "no model.weights.h5"


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", model(dense()))
    return path

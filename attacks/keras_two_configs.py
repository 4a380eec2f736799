"""Two members called config.json: one reader sees a Dense, another a Lambda."""

import warnings
import zipfile
from pathlib import Path

from ._hdf5 import WEIGHTS, dense, model, unpacked

VERDICT = "refused"
CLAIM = "config.json"


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("config.json", model(dense()))
        file.writestr("config.json", model({"class_name": "Lambda", "config": {"name": "x"}}))
        file.writestr("model.weights.h5", unpacked(WEIGHTS))
    return path

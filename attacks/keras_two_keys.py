"""A config that says its class twice."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, dense, model, unpacked

VERDICT = "refused"
CLAIM = "twice"


def make(folder: Path) -> Path:
    config = model(dense()).replace('"units": 3', '"units": 3, "units": 4')
    return archive(folder / "model.keras", config, unpacked(WEIGHTS))

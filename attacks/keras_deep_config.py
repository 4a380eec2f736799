"""A config of half a million objects in objects."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, unpacked

VERDICT = "refused"
CLAIM = "config.json"


def make(folder: Path) -> Path:
    return archive(folder / "model.keras", '{"config":' * 500_000, unpacked(WEIGHTS))

"""A config that is a list, and one with NaN for the layers."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, unpacked

VERDICT = "refused"
CLAIM = "not a JSON object"


def make(folder: Path) -> Path:
    return archive(
        folder / "model.keras", '[{"class_name": "Sequential", "config": {"layers": NaN}}]', unpacked(WEIGHTS)
    )

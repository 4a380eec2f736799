"""A config of 200 MB of spaces, deflated to 200 kB."""

import zipfile
from pathlib import Path

from ._hdf5 import WEIGHTS, unpacked

VERDICT = "refused"
CLAIM = "config.json"


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("config.json", "w") as member:
            for _ in range(200):
                member.write(b" " * (1 << 20))
        file.writestr("model.weights.h5", unpacked(WEIGHTS))
    return path

"""An asset whose name leads out of the folder."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, dense, model, unpacked

VERDICT = "refused"
CLAIM = "leads out"


def make(folder: Path) -> Path:
    return archive(folder / "model.keras", model(dense()), unpacked(WEIGHTS), **{"assets/../../EVIDENCE": b"x"})

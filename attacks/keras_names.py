"""Layers called by ways up and by what a terminal obeys."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = ("../../EVIDENCE\x1b]0;owned\x07\x1b[2J\n.kernel", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def make(folder: Path) -> Path:
    name = "../../EVIDENCE\x1b]0;owned\x07\x1b[2J\n"
    return archive(folder / "model.keras", model(dense(name)), unpacked(WEIGHTS))

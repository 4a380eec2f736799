"""Weights of another shape than the config says: read, and no neuron is made of them."""

from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    return archive(folder / "model.keras", model(dense(units=1 << 40)), unpacked(WEIGHTS))

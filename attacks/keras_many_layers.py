"""A config of 25,000 layers that all have one name, over the weights of one."""

from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    return archive(folder / "model.keras", model(*[dense()] * 25_000), unpacked(WEIGHTS))

"""Members whose names lead out of the archive."""

from pathlib import Path

from ._npy import npy, npz

VERDICT = "refused"
CLAIM = "leads out"


def make(folder: Path) -> Path:
    return npz(folder / "model.npz", {"../../EVIDENCE.npy": npy()})

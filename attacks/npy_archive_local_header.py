"""A member whose own header states another size than the directory does."""

from pathlib import Path

from ._npy import npy, npz

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = npz(folder / "model.npz", {"w.npy": npy()})
    data = bytearray(path.read_bytes())
    data[22:26] = (7).to_bytes(4, "little")
    path.write_bytes(data)
    return path

"""Two names that become one when slashes become dots."""

from pathlib import Path

from ._npy import npy, npz

VERDICT = "read"


def make(folder: Path) -> Path:
    return npz(folder / "model.npz", {"a/b.npy": npy(), "a.b.npy": npy(), "a/b/c.npy": npy(), "a.b/c.npy": npy()})

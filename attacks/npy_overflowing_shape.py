"""A shape whose product is 0 modulo 2**64."""

from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"
CLAIM = "takes"


def make(folder: Path) -> Path:
    path = folder / "model.npy"
    path.write_bytes(npy(literal(shape="(4294967296, 4294967296)"), b""))
    return path

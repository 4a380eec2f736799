"""A shape of 2**124 numbers over 24 bytes."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "refused"
CLAIM = "does not take"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array((1 << 62, 1 << 62)))))
    return path

"""A shape whose product is 0 modulo 2**64."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "refused"
CLAIM = "does not take"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array((1 << 32, 1 << 32), data=b""))))
    return path

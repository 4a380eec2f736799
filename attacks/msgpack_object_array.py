"""An array of Python objects, whose bytes are addresses."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "part"
CLAIM = "object"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array((1,), "object", bytes(8)))))
    return path

"""An array of a thousand axes."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "refused"
CLAIM = "none that an array can have"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array([1] * 1000, data=bytes(4)))))
    return path

"""An array inside of the bytes that say what an array is."""

from pathlib import Path

from ._msgpack import array, extension, pairs

VERDICT = "refused"
CLAIM = "not packed"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", extension(array()))))
    return path

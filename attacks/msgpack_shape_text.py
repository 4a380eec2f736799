"""A shape that is no list of numbers."""

from pathlib import Path

from ._msgpack import extension, items, pairs, text

VERDICT = "refused"
CLAIM = "not packed"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", extension(items([text("23"), text("float32"), b"\xc4\0"])))))
    return path

"""Keys that a terminal would obey."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(
        pairs(("\x1b]0;owned\x07", pairs(("\x1b[2J", array()))), ("params", pairs(("a.b", array()), ("a/b", array()))))
    )
    return path

"""One key twice, for readers of which one takes the first."""

from pathlib import Path

from ._msgpack import array, pairs

VERDICT = "refused"
CLAIM = "twice"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("w", array()), ("w", array((3, 2)))))
    return path

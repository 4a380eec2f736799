"""Bytes that end behind the file."""

from pathlib import Path

from ._msgpack import pairs

VERDICT = "refused"
CLAIM = "bytes are said to follow"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(pairs(("a", b"\xc6\xff\xff\xff\xff")))
    return path

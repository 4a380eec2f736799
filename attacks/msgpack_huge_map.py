"""A map of four billion pairs."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "values"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(b"\xdf\xff\xff\xff\xff\xa1a\0")
    return path

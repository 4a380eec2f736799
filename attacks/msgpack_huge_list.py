"""A list of four billion values in a file of eight bytes."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "values"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(b"\x81\xa1a\xdd\xff\xff\xff\xff")
    return path

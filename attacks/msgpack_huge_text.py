"""A key of four gigabytes."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "bytes are said to follow"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(b"\x81\xdb\xff\xff\xff\xffabc")
    return path

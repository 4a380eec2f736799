"""Maps in maps, a hundred thousand deep."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "deep"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(b"\x81\xa1a" * 100_000 + b"\0")
    return path

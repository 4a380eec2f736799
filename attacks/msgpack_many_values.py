"""Two million small numbers where a network has a few arrays."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "more than"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(b"\x81\xa1a\xdd" + (2_000_000).to_bytes(4, "big") + bytes(2_000_000))
    return path

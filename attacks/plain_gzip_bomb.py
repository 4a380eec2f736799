"""A small gzip file of a very large one: it is named, not unpacked."""

import gzip
from pathlib import Path

VERDICT = "refused"
CLAIM = "gzip"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(gzip.compress(bytes(64 << 20)))
    return path

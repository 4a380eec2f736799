"""Two arrays share bytes: an edit of the one would change the other."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "overlap"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry(), "b.weight": entry(offsets=(4, 12))}, bytes(12))

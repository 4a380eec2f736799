"""Half a million keys without a name's worth of bytes: fewer than the count are there."""

from pathlib import Path

from ._gguf import number, whole

VERDICT = "refused"
CLAIM = "at most"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([number(f"k{i:06d}", i) for i in range(70_000)]))
    return path

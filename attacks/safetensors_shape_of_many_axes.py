"""100,000 axes of length one."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"


def make(folder: Path) -> Path:
    return file(folder, {"a.weight": entry((1,) * 100_000 + (3,), (0, 8))})

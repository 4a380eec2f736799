"""2,000 arrays over the same bytes: a small file that says it holds much."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"


def make(folder: Path) -> Path:
    return file(folder, {f"l{number}.weight": entry((1024,), (0, 4096)) for number in range(2000)}, bytes(4096))

"""A sparse file of 16 GiB of zeros: large, and nothing."""

from pathlib import Path

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.truncate(16 << 30)
    return path

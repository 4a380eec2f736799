"""A link that leads to itself."""

from pathlib import Path

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.symlink_to("model.safetensors")
    return path

"""A link to a device that never ends, under the name of a model."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "a device"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.symlink_to("/dev/zero")
    return path

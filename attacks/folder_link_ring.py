"""The network of a folder is a link to itself."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "it holds no network"


def make(folder: Path) -> Path:
    (folder / "model.safetensors").symlink_to("model.safetensors")
    return folder

"""A Git LFS pointer: 134 bytes of text where the weights should be."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "Git LFS pointer"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 90868376\n")
    return path

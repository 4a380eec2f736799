"""The network of a folder is a Git LFS pointer."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "git lfs pull"


def make(folder: Path) -> Path:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    return folder

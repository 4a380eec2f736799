"""A config of nested brackets beside sound numbers, which do not need it."""

from pathlib import Path

from ._folder import weights

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    weights(folder / "model.safetensors")
    (folder / "config.json").write_text("[" * 1_000_000)
    return folder

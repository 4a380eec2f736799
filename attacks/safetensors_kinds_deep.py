"""Metadata that states kinds in 100,000 nested brackets."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "read"
READS = ("a.weight", [0.0, 0.0])


def make(folder: Path) -> Path:
    header = {"__metadata__": {"patchclamp.layers": "[" * 100_000}, "a.weight": entry()}
    return file(folder, header)

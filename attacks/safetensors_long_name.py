"""A name of 10,000,000 characters: an error must not repeat it."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"


def make(folder: Path) -> Path:
    return file(folder, {"n" * 10_000_000: entry((3,))})

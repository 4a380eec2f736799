"""PERSID: a persistent id as text."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "persistent id"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"P0\n"))

"""Lists that lie 150,000 deep in each other."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "deep in each other"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"]" * 150_000 + b"a" * 149_999))

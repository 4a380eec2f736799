"""Lists 400,000 deep beside a tensor."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    return archive(folder, beside(b"]" * 150_000 + b"a" * 149_999))

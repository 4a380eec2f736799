"""A dangerous function that is named and not called: it stays a name."""

from pathlib import Path

from ._pytorch import archive, beside, name

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    return archive(folder, beside(name("os.system")))

"""PUT with a number of a thousand digits."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "counts its memo"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"Np" + b"9" * 1000 + b"\n"))

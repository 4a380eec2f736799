"""An archive that is cut in its middle."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "end record"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    path.write_bytes(path.read_bytes()[:300])
    return path

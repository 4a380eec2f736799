"""A local header with another name than the directory's."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "other things than the directory"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    path.write_bytes(path.read_bytes().replace(b"archive/data.pkl", b"archive/data.pkx", 1))
    return path

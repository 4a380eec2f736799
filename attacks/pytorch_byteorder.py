"""An archive whose byte order is neither of the two."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    path.write_bytes(path.read_bytes().replace(b"little", b"middle"))
    return path

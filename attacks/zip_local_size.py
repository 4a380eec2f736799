"""A local header with another size than the directory's."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "other things than the directory"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    data[18:22] = (5).to_bytes(4, "little")
    path.write_bytes(data)
    return path

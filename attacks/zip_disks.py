"""An archive that says it is the second of two parts."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "several parts"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x05\x06") + 4] = 1
    path.write_bytes(data)
    return path

"""Two members that lie over each other."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "lies over"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = bytes(4)
    path.write_bytes(data)
    return path

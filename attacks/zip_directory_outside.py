"""A directory that is said to lie behind the end of the file."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "does not lie in the file"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 16 : end + 20] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    return path

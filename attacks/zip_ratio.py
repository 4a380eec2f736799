"""A deflated member that says it grows by more than deflate can."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "deflate cannot do"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"), packed=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    return path

"""A 64-bit end record that is said to lie behind the file."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "64-bit end record"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end:end] = b"PK\x06\x07" + bytes(4) + (1 << 60).to_bytes(8, "little") + (1).to_bytes(4, "little")
    path.write_bytes(data)
    return path

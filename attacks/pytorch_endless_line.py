"""A name that does not end, in a file of 5 MB."""

from pathlib import Path

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = b"\x80\x02c" + b"a" * 5_000_000
    path.write_bytes(data)
    return path

"""A header of 100 MB of blanks in a sparse file: nothing to parse, much to hold."""

from pathlib import Path

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.safetensors"
    with path.open("wb") as sparse:
        sparse.write((100_000_001).to_bytes(8, "little") + b"{")
        sparse.truncate(200_000_000)
    return path

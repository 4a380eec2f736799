"""Names made of dots only: of which layer is which array."""

from pathlib import Path

from ._safetensors import entry, file

VERDICT = "read"


def make(folder: Path) -> Path:
    header = {"." * count: entry((1,), (4 * count - 4, 4 * count)) for count in range(1, 200)}
    return file(folder, header, bytes(4 * 199))

"""An opcode that there is not."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "0xfe"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"\xfe"))

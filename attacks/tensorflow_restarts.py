"""A block of more restarts than bytes."""

from pathlib import Path

from ._tensorflow import raw_block, table, written

VERDICT = "refused"
CLAIM = "restarts"


def make(folder: Path) -> Path:
    return written(folder, table(raw_block(b"\0\0\0" + b"\xff" * 4))).with_suffix("")

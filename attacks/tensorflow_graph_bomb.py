"""A graph of objects of a gigabyte, in a file of 24 bytes."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "refused"
CLAIM = "end at byte"


def make(folder: Path) -> Path:
    return checkpoint(
        folder, [header(), (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry((), 7, size=1 << 30)), (b"w", entry())]
    )

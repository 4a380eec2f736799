"""Two tensors whose names are alike once slashes are dots."""

from pathlib import Path

from ._tensorflow import checkpoint, entry, header

VERDICT = "read"


def make(folder: Path) -> Path:
    return checkpoint(folder, [header(), (b"a.b/c", entry()), (b"a/b.c", entry()), (b"a/b/c", entry())])

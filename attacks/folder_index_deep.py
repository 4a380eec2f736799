"""An index of a hundred thousand brackets."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = index(folder, {})
    path.write_text('{"weight_map": ' + "[" * 100_000)
    return path

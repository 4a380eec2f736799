"""The name of a file in an index is no text that a file can have."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "no file's name"


def make(folder: Path) -> Path:
    path = index(folder, {})
    path.write_text('{"weight_map": {"fc.weight": "\\ud800"}}')
    return path

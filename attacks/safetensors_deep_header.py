"""A header of 1,000,000 brackets, which a recursive parser does not survive."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "nested too deeply"


def make(folder: Path) -> Path:
    return file(folder, b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")

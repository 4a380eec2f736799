"""An offset of 1,000,000 digits: making a number of it takes a quadratic time."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"


def make(folder: Path) -> Path:
    return file(folder, b'{"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,' + b"9" * 1_000_000 + b"]}}")

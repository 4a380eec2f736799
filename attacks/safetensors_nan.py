"""A number that JSON does not have."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "not finite"


def make(folder: Path) -> Path:
    return file(folder, b'{"a.weight":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}')

"""A name that stands twice: two readers take different arrays."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "stands twice"


def make(folder: Path) -> Path:
    one = b'"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    other = b'"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}'
    return file(folder, b"{" + one + b"," + other + b"}", bytes(range(16)))

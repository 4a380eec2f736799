"""The same name twice, once spelled with an escape that a search of the text does not see."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "stands twice"


def make(folder: Path) -> Path:
    one = b'"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    other = b'"\\u0061.weight":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}'
    return file(folder, b"{" + one + b"," + other + b"}", bytes(range(16)))

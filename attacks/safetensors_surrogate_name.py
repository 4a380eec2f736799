"""A name that is no valid Unicode: printing it fails."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"
CLAIM = "not valid Unicode"


def make(folder: Path) -> Path:
    return file(folder, b'{"\\ud800.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')

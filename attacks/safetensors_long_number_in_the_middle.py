"""An offset of 1,000,000 digits that two neighbours agree on."""

from pathlib import Path

from ._safetensors import file

VERDICT = "refused"


def make(folder: Path) -> Path:
    digits = b"8" * 1_000_000
    first = b'"a.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,' + digits + b"]}"
    second = b'"b.weight":{"dtype":"F32","shape":[0],"data_offsets":[' + digits + b",8]}"
    return file(folder, b"{" + first + b"," + second + b"}")

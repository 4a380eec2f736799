"""A field that is longer than the file."""

from pathlib import Path

from ._onnx import field, number, varint

VERDICT = "refused"
CLAIM = "where"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(number(1, 8) + field(2, "a") + varint(7 << 3 | 2) + varint(1 << 40))
    return path

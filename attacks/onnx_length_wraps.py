"""A field whose length is negative as a signed number."""

from pathlib import Path

from ._onnx import field, number, varint

VERDICT = "refused"
CLAIM = "where"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(number(1, 8) + field(2, "a") + varint(7 << 3 | 2) + varint(-4))
    return path

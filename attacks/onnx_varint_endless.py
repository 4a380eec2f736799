"""An integer that goes on to the end of the file."""

from pathlib import Path

from ._onnx import field, number

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(number(1, 8) + field(2, "a") + b"\x28" + b"\xff" * 100_000)
    return path

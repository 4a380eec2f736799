"""A model without a graph."""

from pathlib import Path

from ._onnx import field, number

VERDICT = "refused"
CLAIM = "no graph"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(number(1, 8) + field(2, "attacker"))
    return path

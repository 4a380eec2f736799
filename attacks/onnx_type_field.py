"""Integers in the field for floats."""

from pathlib import Path

from ._onnx import INT64, field, graph, model, tensor

VERDICT = "refused"
CLAIM = "another type"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (4,), field(4, bytes(16)), kind=INT64))))
    return path

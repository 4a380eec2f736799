"""Fewer packed integers than the shape says."""

from pathlib import Path

from ._onnx import INT64, field, graph, model, tensor

VERDICT = "refused"
CLAIM = "integers end"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (4,), field(7, b"\x81\x01\x81\x01"), kind=INT64))))
    return path

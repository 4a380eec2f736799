"""A negative axis."""

from pathlib import Path

from ._onnx import field, graph, model, tensor

VERDICT = "refused"
CLAIM = "negative"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (-2, 2), field(9, bytes(16))))))
    return path

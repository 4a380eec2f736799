"""A tensor whose numbers stand in two fields."""

from pathlib import Path

from ._onnx import field, graph, model, tensor

VERDICT = "refused"
CLAIM = "twice"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (4,), field(9, bytes(16)) + field(4, bytes(16))))))
    return path

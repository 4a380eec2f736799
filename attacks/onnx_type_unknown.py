"""A tensor of an element type that is not defined."""

from pathlib import Path

from ._onnx import field, graph, model, tensor

VERDICT = "refused"
CLAIM = "type 99"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (4,), field(9, bytes(16)), kind=99))))
    return path

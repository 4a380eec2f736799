"""A packed integer that its type cannot hold."""

from pathlib import Path

from ._onnx import field, graph, model, tensor, varint

VERDICT = "refused"
CLAIM = "uint8"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (1,), field(5, varint(300)), kind=2))))
    return path

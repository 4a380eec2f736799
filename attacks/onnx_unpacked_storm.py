"""A million numbers in a field each."""

from pathlib import Path

from ._onnx import INT64, graph, model, number, tensor

VERDICT = "refused"
CLAIM = "pieces"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (1 << 18,), number(7, 1) * (1 << 18), kind=INT64))))
    return path

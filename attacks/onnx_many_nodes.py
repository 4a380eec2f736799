"""Fifty thousand nodes that all read one tensor."""

from pathlib import Path

from ._onnx import graph, model, node, tensor

VERDICT = "read"
READS = ("y0.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    nodes = tuple(node("MatMul", ["x", "w"], [f"y{i}"]) for i in range(50_000))
    path.write_bytes(model(graph(tensor("w"), nodes=nodes)))
    return path

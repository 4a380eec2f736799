"""Concatenations that double each time: following all their pieces would not end."""

from pathlib import Path

from ._onnx import field, graph, model, node, number, tensor

VERDICT = "read"
READS = ("v0", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    nodes = tuple(node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], field(1, "axis") + number(3, 0)) for i in range(64))
    path.write_bytes(model(graph(tensor("v0"), nodes=nodes)))
    return path

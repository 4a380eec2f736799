"""Codes with three scales for an axis of four."""

from pathlib import Path

from ._onnx import field, graph, model, node, number, tensor

VERDICT = "read"
READS = ("fc.weight", [[0, 0], [0, 0], [0, 0], [0, 0]])


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    codes = tensor("q", (4, 2), field(9, bytes(8)), kind=3)
    steps = node("DequantizeLinear", ["q", "s"], ["v"], field(1, "axis") + number(3, 0))
    use = node("MatMul", ["x", "v"], ["y"], name="fc")
    path.write_bytes(model(graph(codes, tensor("s", (3,)), nodes=(steps, use))))
    return path

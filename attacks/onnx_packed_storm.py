"""A million packed integers whose first bytes never end."""

from pathlib import Path

from ._onnx import INT64, field, graph, model, tensor

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (1 << 20,), field(7, b"\x80" * (1 << 20)), kind=INT64))))
    return path

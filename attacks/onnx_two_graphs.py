"""Two graphs, of which readers take different ones."""

from pathlib import Path

from ._onnx import field, graph, model, tensor

VERDICT = "refused"
CLAIM = "2 graphs"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w")), field(7, graph(tensor("v")))))
    return path

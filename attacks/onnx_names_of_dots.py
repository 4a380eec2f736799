"""Names made of dots alone."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("."), tensor(".."), tensor("..."), tensor("", (4,)))))
    return path

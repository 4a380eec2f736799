"""Two tensors of one name."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "refused"
CLAIM = "two tensors"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w"), tensor("w", (4,)))))
    return path

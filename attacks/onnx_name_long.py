"""A name of ten million letters."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "refused"
CLAIM = "a name of"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w" * 10_000_000))))
    return path

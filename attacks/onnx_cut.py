"""A file that was cut in the middle of its numbers."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "refused"
CLAIM = "where"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (100, 100))))[:20_000])
    return path

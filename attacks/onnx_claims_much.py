"""A tensor of a gigabyte with no numbers."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "refused"
CLAIM = "does not hold"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (1 << 28,), b""))))
    return path

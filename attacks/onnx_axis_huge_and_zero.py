"""An axis of 2^62 beside one of zero: nothing is stored, but the layer seems endless."""

from pathlib import Path

from ._onnx import field, graph, model, tensor

VERDICT = "refused"
CLAIM = "longer than the file"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("w", (1 << 62, 0), field(9, b"")))))
    return path

"""A name that is no UTF-8."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "refused"
CLAIM = "UTF-8"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor(b"\xff\xfe\x80"))))
    return path

"""A field with the number zero, which none has."""

from pathlib import Path

from ._onnx import graph, model

VERDICT = "refused"
CLAIM = "number 0"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(b"\x02\x00")))
    return path

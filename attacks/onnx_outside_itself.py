"""Numbers that are the bytes of the file itself."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(outside("w", "model.onnx", (1,), offset=0, length=4))))
    return path

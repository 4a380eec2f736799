"""Names that would move the cursor and ring the bell of a terminal."""

from pathlib import Path

from ._onnx import graph, model, tensor

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(tensor("\x1b[2J\x07.w\x1b]0;x\x07"))))
    return path

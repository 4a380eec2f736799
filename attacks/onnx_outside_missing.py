"""Numbers in a file that is not there."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "no such file"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(outside("w", "w.bin"))))
    return path

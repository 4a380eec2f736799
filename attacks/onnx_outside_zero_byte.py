"""A zero byte in the name of the file with the numbers."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "own folder"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(outside("w", b"w.bin\0.txt"))))
    return path

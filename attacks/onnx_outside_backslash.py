"""A path to the folder above with backslashes."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "own folder"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(outside("w", "..\\secret.bin"))))
    return path

"""A length that is not that of the shape."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "takes 16"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(64))
    path.write_bytes(model(graph(outside("w", "w.bin", length=64))))
    return path

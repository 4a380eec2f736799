"""An offset before the beginning of the file with the numbers."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "-16"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(64))
    path.write_bytes(model(graph(outside("w", "w.bin", offset=-16, length=16))))
    return path

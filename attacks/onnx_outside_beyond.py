"""Numbers that end beyond the file that holds them."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "which has 16"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(16))
    path.write_bytes(model(graph(outside("w", "w.bin", offset=8, length=16))))
    return path

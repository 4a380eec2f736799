"""A tensor of 4 EB in a file of 16 bytes."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "which has 16"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(16))
    path.write_bytes(model(graph(outside("w", "w.bin", (1 << 30, 1 << 30)))))
    return path

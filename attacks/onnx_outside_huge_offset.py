"""An offset with so many digits that arithmetic on it takes long."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "another file"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(16))
    path.write_bytes(model(graph(outside("w", "w.bin", offset="9" * 10_000))))
    return path

"""Numbers in a file with an absolute path."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "own folder"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(outside("w", "/etc/passwd"))))
    return path

"""Numbers in a file of the folder above."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "own folder"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder.parent / "secret.bin").write_bytes(bytes(16))
    path.write_bytes(model(graph(outside("w", "../secret.bin"))))
    return path

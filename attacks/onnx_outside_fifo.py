"""Numbers in a named pipe, which blocks whoever opens it."""

import os
from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "named pipe"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    os.mkfifo(folder / "w.bin")
    path.write_bytes(model(graph(outside("w", "w.bin"))))
    return path

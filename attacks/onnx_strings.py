"""A tensor of strings beside one of numbers."""

from pathlib import Path

from ._onnx import STRING, dims, field, graph, model, number, tensor

VERDICT = "refused"
CLAIM = "strings"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    words = dims(2) + number(2, STRING) + field(6, "a") + field(6, "b") + field(8, "words")
    path.write_bytes(model(graph(words, tensor("w"))))
    return path

"""A tensor of a hundred thousand axes of one."""

from pathlib import Path

from ._onnx import FLOAT, dims, field, graph, model, number

VERDICT = "refused"
CLAIM = "axes"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(dims(*(1,) * 100_000) + number(2, FLOAT) + field(8, "w") + field(9, bytes(4)))))
    return path

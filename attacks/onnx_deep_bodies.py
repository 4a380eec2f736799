"""Bodies of If in each other, ten thousand deep."""

from pathlib import Path

from ._onnx import field, graph, model, node

VERDICT = "refused"
CLAIM = "deep"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    body = b""
    for _ in range(2_000):
        body = graph(nodes=(node("If", ["c"], ["y"], field(1, "then_branch") + field(6, body)),))
    path.write_bytes(model(body))
    return path

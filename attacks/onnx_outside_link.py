"""Numbers in a link that leads out of the folder."""

from pathlib import Path

from ._onnx import graph, model, outside

VERDICT = "refused"
CLAIM = "link to outside"


def make(folder: Path) -> Path:
    path = folder / "model.onnx"
    (folder / "w.bin").symlink_to("/etc/passwd")
    path.write_bytes(model(graph(outside("w", "w.bin"))))
    return path

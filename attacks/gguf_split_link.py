"""A part that is a link to a file outside of the folder."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "outside"


def make(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    path = inside / "model-00001-of-00002.gguf"
    parts = [number("split.count", 2)]
    path.write_bytes(whole([number("split.no", 0), *parts], [tensor("a")]))
    outside = folder / "outside.gguf"
    outside.write_bytes(whole([number("split.no", 1), *parts], [tensor("b")]))
    (inside / "model-00002-of-00002.gguf").symlink_to(outside)
    return path

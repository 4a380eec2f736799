"""The only part of a file that says it is the first of 65,535."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model-00001-of-65535.gguf"
    path.write_bytes(whole([number("split.no", 0), number("split.count", 65_535)], [tensor("a")]))
    return path

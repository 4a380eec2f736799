"""An alignment of nought."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "alignment"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([number("general.alignment", 0)], [tensor("a")]))
    return path

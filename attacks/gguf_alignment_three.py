"""An alignment of three, no power of two."""

from pathlib import Path

from ._gguf import number, tensor, whole

VERDICT = "refused"
CLAIM = "alignment"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([number("general.alignment", 3)], [tensor("a")]))
    return path

"""A key that is no UTF-8."""

from pathlib import Path

from ._gguf import number, whole

VERDICT = "refused"
CLAIM = "UTF-8"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(whole([number(b"\xff\xfe", 1)]))
    return path

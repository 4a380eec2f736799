"""The old format without its last storage."""

from pathlib import Path

from ._pytorch import FOUR, legacy, state, tensor, text

VERDICT = "refused"
CLAIM = "ends behind the file"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = legacy(state(("fc.weight", tensor())), b"]" + text("0") + b"a", (4).to_bytes(8, "little") + FOUR[:8])
    path.write_bytes(data)
    return path

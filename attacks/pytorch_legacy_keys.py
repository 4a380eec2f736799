"""The old format with a list of storages that names another."""

from pathlib import Path

from ._pytorch import FOUR, legacy, state, tensor, text

VERDICT = "refused"
CLAIM = "names others"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = legacy(state(("fc.weight", tensor())), b"]" + text("9") + b"a", (4).to_bytes(8, "little") + FOUR)
    path.write_bytes(data)
    return path

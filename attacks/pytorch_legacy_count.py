"""A storage of the old format that says it holds 2 ** 60 numbers."""

from pathlib import Path

from ._pytorch import FOUR, legacy, state, tensor, text

VERDICT = "refused"
CLAIM = "numbers"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = legacy(state(("fc.weight", tensor())), b"]" + text("0") + b"a", (1 << 60).to_bytes(8, "little") + FOUR)
    path.write_bytes(data)
    return path

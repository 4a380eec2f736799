"""A view of a storage of the old format that ends behind it."""

from pathlib import Path

from ._pytorch import FOUR, legacy, number, several, state, storage, tensor, text

VERDICT = "refused"
CLAIM = "ends behind it"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = legacy(
        state(("w", tensor(held=storage(view=several(text("v"), number(2), number(4)))))),
        b"]" + text("0") + b"a",
        (4).to_bytes(8, "little") + FOUR,
    )
    path.write_bytes(data)
    return path

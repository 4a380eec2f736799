"""A tensor whose size is text."""

from pathlib import Path

from ._pytorch import archive, beside, call, number, several, storage, text

VERDICT = "refused"
CLAIM = "extent"


def make(folder: Path) -> Path:
    return archive(
        folder,
        beside(call("torch._utils._rebuild_tensor", storage(), number(0), several(text("4")), several(number(1)))),
    )

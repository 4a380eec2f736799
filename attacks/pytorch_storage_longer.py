"""A storage that is said to be longer than its member."""

from pathlib import Path

from ._pytorch import archive, pickled, state, storage, tensor

VERDICT = "refused"
CLAIM = "is said to have"


def make(folder: Path) -> Path:
    return archive(folder, pickled(state(("w", tensor(held=storage("0", 1 << 30))))))

"""A storage that is not there."""

from pathlib import Path

from ._pytorch import archive, beside, storage, tensor

VERDICT = "refused"
CLAIM = "not in the archive"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor(held=storage("7"))))

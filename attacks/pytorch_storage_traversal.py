"""A storage with a key that leads out of the archive."""

from pathlib import Path

from ._pytorch import archive, beside, storage, tensor

VERDICT = "refused"
CLAIM = "not in the archive"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor(held=storage("../../../etc/passwd"))))

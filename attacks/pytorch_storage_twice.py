"""One storage with two element types and sizes."""

from pathlib import Path

from ._pytorch import archive, beside, storage, tensor

VERDICT = "refused"
CLAIM = "two sizes"


def make(folder: Path) -> Path:
    return archive(folder, beside(tensor(held=storage("0", 1, "DoubleStorage"))))

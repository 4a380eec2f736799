"""Text of a hundred letters, over and over, in a deflated pickle of 80 MB."""

from pathlib import Path

from ._pytorch import archive, beside, text

VERDICT = "refused"
CLAIM = "inflated at once"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"(" + text("x" * 100) * 760_000 + b"l"), packed=True)

"""A pickle of 100 MB that is deflated to 100 kB."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "inflated at once"


def make(folder: Path) -> Path:
    return archive(folder, beside(b"N0" * (50 << 20)), packed=True)

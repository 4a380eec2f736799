"""REDUCE with what are no arguments."""

from pathlib import Path

from ._pytorch import archive, beside, name

VERDICT = "refused"
CLAIM = "only names are called"


def make(folder: Path) -> Path:
    return archive(folder, beside(name("collections.OrderedDict") + b"]R"))

"""REDUCE calls numpy.load, which unpickles arrays of objects."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "numpy.load"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("numpy.load", text("x.npy"))))

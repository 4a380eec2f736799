"""Ten levels of lists that each hold the one below ten times."""

from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "more ways than objects"


def make(folder: Path) -> Path:
    levels = b"](NNNNNNNNNNe" + b"".join(b"q%c](" % n + b"h%c" % n * 10 + b"e" for n in range(12))
    return archive(folder, beside(levels))

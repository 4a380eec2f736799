"""Terminal escapes in the name of a tensor."""

from pathlib import Path

from ._pytorch import archive, pickled, state, tensor

VERDICT = "read"


def make(folder: Path) -> Path:
    return archive(folder, pickled(state(("\x1b]0;owned\x07\x1b[2J.weight", tensor()))))

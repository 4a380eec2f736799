"""A second pickle after the first, which calls os.system."""

from pathlib import Path

from ._pytorch import archive, call, pickled, shell, state, tensor

VERDICT = "refused"
CLAIM = "follow the pickle"


def make(folder: Path) -> Path:
    return archive(folder, pickled(state(("fc.weight", tensor()))) + pickled(call("os.system", shell(folder))))

"""functools.partial makes a callable, which is called in turn."""

from pathlib import Path

from ._pytorch import EMPTY, archive, beside, call, name, shell

VERDICT = "refused"
CLAIM = "functools.partial"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("functools.partial", name("os.system"), shell(folder)) + EMPTY + b"R"))

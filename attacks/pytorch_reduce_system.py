"""REDUCE calls os.system."""

from pathlib import Path

from ._pytorch import archive, beside, call, shell

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("os.system", shell(folder))))

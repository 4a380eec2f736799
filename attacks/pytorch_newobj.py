"""NEWOBJ makes a subprocess.Popen."""

from pathlib import Path

from ._pytorch import archive, beside, name, shell

VERDICT = "refused"
CLAIM = "subprocess.Popen"


def make(folder: Path) -> Path:
    return archive(folder, beside(name("subprocess.Popen") + b"(" + shell(folder) + b"t\x81"))

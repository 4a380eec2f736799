"""The old format with a call in what says which machine wrote it."""

from pathlib import Path

from ._pytorch import MAGIC, call, pickled, shell

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = MAGIC + pickled(call("os.system", shell(folder)))
    path.write_bytes(data)
    return path

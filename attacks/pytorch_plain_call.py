"""A pickle of its own, without a checkpoint, that calls os.system."""

from pathlib import Path

from ._pytorch import call, pickled, shell

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    path = folder / "model.pth"
    data = pickled(call("os.system", shell(folder)))
    path.write_bytes(data)
    return path

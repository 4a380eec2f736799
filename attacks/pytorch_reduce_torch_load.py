"""REDUCE calls torch.load for another file, which would be unpickled in full."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "torch.load"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("torch.load", text("other.pt"))))

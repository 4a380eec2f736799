"""A tensor made from too few arguments."""

from pathlib import Path

from ._pytorch import archive, beside, call, number, storage

VERDICT = "refused"
CLAIM = "does not take"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("torch._utils._rebuild_tensor_v2", storage(), number(0))))

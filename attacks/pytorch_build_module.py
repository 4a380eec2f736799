"""BUILD sets an attribute of a class of torch."""

from pathlib import Path

from ._pytorch import archive, beside, name, state

VERDICT = "refused"
CLAIM = "set attributes of torch.nn.Module"


def make(folder: Path) -> Path:
    return archive(folder, beside(name("torch.nn.Module") + state(("forward", name("os.system"))) + b"b"))

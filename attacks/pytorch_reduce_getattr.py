"""getattr, to reach a function by two steps that each look harmless."""

from pathlib import Path

from ._pytorch import archive, beside, call, name, text

VERDICT = "refused"
CLAIM = "builtins.getattr"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("builtins.getattr", name("posixpath.os"), text("system"))))

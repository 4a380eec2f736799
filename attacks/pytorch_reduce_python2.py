"""REDUCE calls eval under the name that Python 2 has for its module."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "builtins.eval"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("__builtin__.eval", text("__import__('evidence_module')"))))

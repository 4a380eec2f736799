"""REDUCE calls __import__ for a module that leaves evidence."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "__import__"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("builtins.__import__", text("evidence_module"))))

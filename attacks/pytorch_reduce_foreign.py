"""REDUCE calls a function of a package that nobody has listed."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "evidence_module.run"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("evidence_module.run", text("now"))))

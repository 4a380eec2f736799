"""REDUCE calls builtins.eval."""

from pathlib import Path

from ._pytorch import archive, beside, call, text

VERDICT = "refused"
CLAIM = "builtins.eval"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("builtins.eval", text(f"open({str(folder / 'EVIDENCE')!r}, 'w')"))))

"""A Python file that would leave evidence if it were imported."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "Python file"


def make(folder: Path) -> Path:
    path = folder / "model.py"
    path.write_text(f"open({str(folder / 'EVIDENCE')!r}, 'w').close()\n")
    return path

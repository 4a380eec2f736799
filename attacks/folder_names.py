"""Names in a folder that write over the terminal."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "it holds no network"


def make(folder: Path) -> Path:
    (folder / "\x1b[2J\x1b]0;owned\x07").write_text("")
    (folder / "a\nb").write_text("")
    return folder

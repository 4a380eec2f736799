"""An index that is a login page."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "web page"


def make(folder: Path) -> Path:
    path = index(folder, {})
    path.write_text("<!DOCTYPE html><html>log in</html>")
    return folder

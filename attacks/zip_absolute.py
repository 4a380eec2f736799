"""A member with an absolute name."""

import zipfile
from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "leads out"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    with zipfile.ZipFile(path, "a") as file:
        info = zipfile.ZipInfo("x")
        info.filename = "/etc/cron.d/evil"
        file.writestr(info, b"x")
    return path

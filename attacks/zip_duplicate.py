"""Two members of one name: which one counts differs between readers."""

import warnings
import zipfile
from pathlib import Path

from ._pytorch import archive, beside

VERDICT = "refused"
CLAIM = "two members have this name"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("archive/data.pkl", b"N.")
    return path

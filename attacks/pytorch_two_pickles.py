"""An archive with two folders that each have a data.pkl."""

import zipfile
from pathlib import Path

from ._pytorch import archive, beside, call, pickled, shell

VERDICT = "refused"
CLAIM = "2 pickles"


def make(folder: Path) -> Path:
    path = archive(folder, beside(b"N"))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/data.pkl", pickled(call("os.system", shell(folder))))
    return path

"""A zip archive behind the numbers: two formats in one file."""

import io
import zipfile
from pathlib import Path

from ._safetensors import entry, file

VERDICT = "refused"
CLAIM = "belong to no array"


def make(folder: Path) -> Path:
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch EVIDENCE'\ntR.")
    return file(folder, {"a.weight": entry()}, bytes(8) + hidden.getvalue())

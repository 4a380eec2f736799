"""A SavedModel whose layers state a Lambda with code; the text is not run, and the variables are read."""

import json
from pathlib import Path

from ._tensorflow import checkpoint, entry, field, header

VERDICT = "read"


def make(folder: Path) -> Path:
    (folder / "variables").mkdir()
    checkpoint(folder, [header(), (b"d/kernel", entry())])
    for ending in ("index", "data-00000-of-00001"):
        (folder / f"model.{ending}").rename(folder / "variables" / f"variables.{ending}")
    code = "__import__('os').system('touch EVIDENCE')"
    said = json.dumps({"name": "d", "class_name": "Lambda", "config": {"function": code, "units": 3}})
    objects = field(1, field(4, field(3, said.encode())))
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(1, b"") + field(7, objects)))
    return folder

"""A file that an index names is a pickle that runs a command."""

import struct
from pathlib import Path

from ._folder import index

VERDICT = "refused"


def make(folder: Path) -> Path:
    payload = f"touch {folder}/EVIDENCE"
    pickled = b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(payload)) + payload.encode() + b"\x85R."
    (folder / "pytorch_model-00001-of-00001.bin").write_bytes(pickled)
    places = {"fc.weight": "pytorch_model-00001-of-00001.bin"}
    return index(folder, places, "pytorch_model.bin.index.json")

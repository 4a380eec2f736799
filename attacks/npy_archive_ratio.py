"""A deflated member that says it unpacks to a gigabyte."""

import zipfile
from pathlib import Path

from ._npy import npy, npz

VERDICT = "refused"
CLAIM = "deflate cannot do"


def make(folder: Path) -> Path:
    path = npz(folder / "model.npz", {"w.npy": npy()}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02") + 24
    data[at : at + 4] = data[22:26] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    return path

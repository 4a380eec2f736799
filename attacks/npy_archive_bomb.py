"""A deflated member of 1 GB of zeros behind a good header: a part is read, nothing is unpacked at opening."""

import zipfile
from pathlib import Path

from ._npy import literal, npy

VERDICT = "refused"


def make(folder: Path) -> Path:
    path = folder / "model.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("w.npy", "w", force_zip64=True) as file,
    ):
        file.write(npy(literal(shape="(268435456,)"), b""))
        for _ in range(64):
            file.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 24 :][:4]
    at = data.rfind(b"PK\x01\x02") + 24
    data[at : at + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    return path

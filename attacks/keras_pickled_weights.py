"""Weights in an .npz inside, as objects whose pickle makes EVIDENCE."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

from ._hdf5 import dense, model

VERDICT = "refused"
CLAIM = "pickled"


class Payload:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def make(folder: Path) -> Path:
    path = folder / "model.keras"
    header = repr({"descr": "|O", "fortran_order": False, "shape": ()}).encode().ljust(117) + b"\n"
    data = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", model(dense()))
        with file.open("model.weights.npz", "w") as member, zipfile.ZipFile(member, "w") as inner:
            inner.writestr("__root__.npy", data + pickle.dumps(Payload(str(folder / "EVIDENCE"))))
    return path

"""An array of objects whose pickle makes a file."""

import pickle
from pathlib import Path

from ._npy import literal, npy

VERDICT = "part"
CLAIM = "pickle"


def make(folder: Path) -> Path:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(folder / "EVIDENCE"), "w")

    path = folder / "model.npy"
    path.write_bytes(npy(literal(descr="'|O'", shape="(1,)"), pickle.dumps([Evil()])))
    return path

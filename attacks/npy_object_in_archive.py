"""An archive of which one array is a pickle that makes a file; the other is read."""

import pickle
from pathlib import Path

from ._npy import literal, npy, npz

VERDICT = "part"
CLAIM = "pickle"


def make(folder: Path) -> Path:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(folder / "EVIDENCE"), "w")

    bad = npy(literal(descr="'|O'", shape="(1,)"), pickle.dumps([Evil()]))
    return npz(folder / "model.npz", {"good.npy": npy(), "bad.npy": bad})

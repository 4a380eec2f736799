"""Small valid Flax checkpoints, as Flax wrote them, for the fuzz runner to mutate."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgpack

DATA = Path(__file__).parents[1] / "files" / "data" / "flax"


def samples(folder: Path) -> list[Path]:
    """A network of many layers, a training state, every element type, an array in pieces, lists and long keys."""
    paths = []
    for name in ("net", "state", "dtypes", "chunked"):
        paths.append(folder / f"{name}.msgpack")
        shutil.copy(DATA / paths[-1].name, paths[-1])
    kernel = msgpack.ExtType(1, msgpack.packb(((2, 3), "float32", bytes(24))))
    tree = {"list": [kernel, [kernel], None, 1.5, -(2**40)], "k" * 300: {7: kernel, -1: b"x" * 300}, "s": "text"}
    paths.append(folder / "odd.msgpack")
    paths[-1].write_bytes(msgpack.packb(tree))
    return paths

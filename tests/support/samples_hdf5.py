"""Small valid HDF5 files, by h5py itself, for the fuzz runner to mutate; those of Keras are in samples_keras.py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def samples(folder: Path) -> list[Path]:
    """Datasets in every layout, in both versions of the format."""
    return [plain(folder / "plain.h5", None), plain(folder / "latest.h5", "latest")]


def plain(path: Path, version: str | None) -> Path:
    dice = np.random.default_rng(0)
    with h5py.File(path, "w", libver=version) as file:
        file["a/kernel"] = dice.standard_normal((3, 4)).astype("f4")
        file["a/bias"] = np.arange(4, dtype=">f8")
        file.create_dataset(
            "chunked", data=np.arange(24).reshape(6, 4), chunks=(2, 4), compression="gzip", shuffle=True
        )
        file.create_dataset("lzf", data=np.arange(24, dtype="i2"), chunks=(8,), compression="lzf", fletcher32=True)
        file["flags"] = np.array([True, False])
        file["scalar"] = 3.5
        file["soft"] = h5py.SoftLink("/a")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("text", data=["a", "b"], dtype=h5py.string_dtype())
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        held = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((2,)), compact)
        held.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones(2, "f4"))
    return path

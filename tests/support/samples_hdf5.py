"""Small valid HDF5 and Keras files, by h5py and Keras themselves, for the fuzz runner to mutate."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def samples(folder: Path) -> list[Path]:
    """Plain datasets in every layout, both versions of the format, and Keras' three sorts of files."""
    return [plain(folder / "plain.h5", None), plain(folder / "latest.h5", "latest"), *keras_files(folder)]


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


def keras_files(folder: Path) -> list[Path]:
    """The same small network as `.keras`, `.h5` and `.weights.h5`."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

        layers: Any = keras.layers
        keras.utils.set_random_seed(0)
        x = keras.Input((4, 3))
        y = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x)
        y = layers.MultiHeadAttention(2, 2)(y, y)
        network = keras.Model(x, layers.Dense(2)(layers.BatchNormalization()(y)))
        network.save(folder / "whole.keras")
        network.save(folder / "whole.h5")
        network.save_weights(folder / "only.weights.h5")
    return [folder / "whole.keras", folder / "whole.h5", folder / "only.weights.h5"]

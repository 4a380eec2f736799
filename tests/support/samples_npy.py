"""Small valid NumPy files, by NumPy, for the fuzz runner to mutate."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def samples(folder: Path) -> list[Path]:
    """One of each feature: stored and deflated members, names that are split, odd types, each version, big-endian."""
    dice = np.random.default_rng(0)
    layers = {
        "conv.weight": dice.standard_normal((4, 3, 3, 3)).astype("f4"),
        "conv.bias": dice.standard_normal(4).astype("f4"),
        "params/Dense_0/kernel": np.asfortranarray(dice.standard_normal((5, 4))),
        "params/Dense_0/bias": dice.standard_normal(4),
        "enc_w_ih": dice.standard_normal((9, 4)).astype("f2"),
        "enc_w_hh": dice.standard_normal((9, 3)).astype("f2"),
    }
    types = {code: np.arange(4).astype(code) for code in ("?", "i1", ">i2", "u4", "f8", "c8", "U3", "S2", "M8[s]")}
    types["record"] = np.zeros(2, [("x", "f4"), ("y", "i2")])
    paths = [
        folder / name for name in ("stored.npz", "deflated.npz", "types.npz", "plain.npy", "turned.npy", "new.npy")
    ]
    np.savez(paths[0], **layers)
    np.savez_compressed(paths[1], **layers)
    np.savez(paths[2], **types)
    np.save(paths[3], dice.standard_normal((6, 5)))
    np.save(paths[4], np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)))
    with paths[5].open("wb") as file:
        np.lib.format.write_array(file, np.arange(6.0), (3, 0))
    return paths

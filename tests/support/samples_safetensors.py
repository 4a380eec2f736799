"""Small valid safetensors files, by the reference writer, for the fuzz runner to mutate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def samples(folder: Path) -> list[Path]:
    """One of each feature: several layers, every element type, odd shapes, metadata that states kinds, tiny."""
    dice = np.random.default_rng(0)
    made = {
        "layers": {
            "conv1.weight": dice.standard_normal((6, 1, 5, 5)).astype(np.float32),
            "conv1.bias": dice.standard_normal(6).astype(np.float32),
            "bn.weight": np.ones(6, np.float32),
            "bn.bias": np.zeros(6, np.float32),
            "bn.running_mean": np.zeros(6, np.float32),
            "bn.running_var": np.ones(6, np.float32),
            "lstm.weight_ih_l0": dice.standard_normal((20, 7)).astype(np.float32),
            "lstm.weight_hh_l0": dice.standard_normal((20, 5)).astype(np.float32),
            "fc.weight": dice.standard_normal((12, 24)).astype(np.float32),
            "fc.bias": dice.standard_normal(12).astype(np.float32),
        },
        "types": {
            f"{name}.weight": np.arange(6).reshape(2, 3).astype(name)
            for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
        },
        "shapes": {
            "scalar": np.array(3, np.float32),
            "none.weight": np.zeros((0, 4), np.float32),
            "deep": np.ones((1, 1, 1, 2, 1, 3), np.int8),
        },
        "tiny": {"w": np.ones(1, np.uint8)},
    }
    paths = []
    for name, arrays in made.items():
        path = folder / f"{name}.safetensors"
        stated = {
            "0.weight": {"kind": "torch.nn.Linear"},
            "fc": {"kind": "torch.nn.Linear"},
            "conv1": {"kind": "torch.nn.Conv2d", "groups": 1},
        }
        metadata = {"patchclamp.layers": json.dumps(stated), "format": "pt"} if name == "layers" else None
        save_file(arrays, path, metadata)
        paths.append(path)
    return paths

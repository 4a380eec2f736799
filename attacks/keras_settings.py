"""Settings of types that no layer has: lists for numbers, numbers for names, and huge ones."""

from pathlib import Path

from ._hdf5 import WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = ("dense.kernel", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def make(folder: Path) -> Path:
    odd = [
        {"module": 5, "class_name": "Conv2D", "config": {"name": "a", "groups": [0, -1], "strides": {"b": None}}},
        {"module": None, "class_name": ["Dense"], "config": [1]},
        {"class_name": "MultiHeadAttention", "config": {"name": 7, "num_heads": 1e308, "key_dim": -1}},
        {"class_name": "Bidirectional", "config": {"name": "b", "layer": {"config": 3}, "backward_layer": 4}},
        {"class_name": "StackedRNNCells", "config": {"name": "c", "cells": {"x": 1}}},
        dense(dtype={"config": {"mode": ["int8"]}}, bias=10**4000, use_bias=[1]),
        3,
    ]
    return archive(folder / "model.keras", model(*odd), unpacked(WEIGHTS))  # type: ignore[arg-type]

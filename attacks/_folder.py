"""Folders for the attacks on networks in several files: small files, and indexes that name what they like."""

import json
import struct
from pathlib import Path
from typing import Any

__all__ = ["index", "weights"]


def weights(path: Path, name: str = "fc.weight", numbers: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)) -> Path:
    """A safetensors file of one array of two rows."""
    header = json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<4f", *numbers))
    return path


def index(folder: Path, places: Any, file: str = "model.safetensors.index.json") -> Path:
    """An index with that weight_map, beside one sound file."""
    weights(folder / "model-00001-of-00002.safetensors", "sound.weight")
    path = folder / file
    path.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return path
